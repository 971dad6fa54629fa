// SPDX-License-Identifier: MIT

// The twin of bench/gc/buffers.c.
package main

import "bench/common"

const (
	smallest  = 65536
	doublings = 7
	largest   = smallest << doublings
	page      = 4096
)

func anySize(random *common.Random) uint64 {
	base := uint64(smallest) << random.Below(doublings+1)
	size := base + random.Below(base)
	if size > largest {
		return largest
	}
	return size
}

func sumOf(b []byte) uint64 {
	sum := uint64(len(b))
	for at := 0; at < len(b); at += page {
		sum += uint64(b[at])
	}
	return sum
}

var latencies common.Latencies

func main() {
	kept, operations := common.Argument(1, 64), common.Argument(2, 20000)
	random := &common.Random{State: 1}
	sum := uint64(0)
	buffers := make([][]byte, kept)
	latencies.Begin()
	for i := uint64(0); i < operations; i++ {
		size := anySize(random)
		place := &buffers[random.Below(kept)]
		sum += sumOf(*place)
		b := make([]byte, size)
		for at := 0; at < len(b); at += page {
			b[at] = byte(uint64(at/page) + i)
		}
		*place = b
		latencies.Note()
	}
	common.Report(sum, &latencies)
}
