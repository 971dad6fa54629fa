// SPDX-License-Identifier: MIT

// The twin of bench/gc/tiny.c.
package main

import "bench/common"

type box struct{ number *byte }

func newBox(i uint64) *box {
	number := make([]byte, 1+i%15)
	number[0] = byte(i)
	number[len(number)-1] = byte(i >> 3)
	return &box{&number[0]}
}

func main() {
	kept, operations := common.Argument(1, 1000000), common.Argument(2, 50000000)
	random := &common.Random{State: 1}
	sum, at := uint64(0), uint64(0)
	ring := make([]*box, kept)
	for i := uint64(0); i < operations; i++ {
		b := newBox(random.Next() >> 32)
		first := uint64(0)
		if old := ring[at]; old != nil {
			first = uint64(*old.number)
		}
		ring[at] = b
		sum = 3*sum + first
		if at++; at == kept {
			at = 0
		}
	}
	common.Report(sum, nil)
}
