// SPDX-License-Identifier: MIT

// The twin of bench/gc/scale.c.
package main

import (
	"bench/common"
	"unsafe"
)

const (
	shortest = 16
	longest  = 256
)

type record struct {
	text                 *byte
	length, number, seed uint64
}

// The text's length is kept apart from it, as in C, so that a record has 32 bytes.
func (r *record) last() byte {
	return unsafe.Slice(r.text, r.length)[r.length-1]
}

func work(seed, operations, kept uint64, sums chan uint64) {
	random := &common.Random{State: seed}
	places := make([]*record, kept)
	sum := uint64(0)
	for i := uint64(0); i < operations; i++ {
		p := &places[random.Below(kept)]
		n := int(shortest + random.Below(longest-shortest+1))
		r := &record{length: uint64(n), number: i, seed: random.State}
		from := common.Pattern(n, i)
		text := make([]byte, len(from))
		copy(text, from)
		r.text = &text[0]
		if old := *p; old != nil {
			sum += old.number + old.length + uint64(old.last())
		}
		*p = r
	}
	sums <- sum
}

func main() {
	threads, operations := common.Argument(1, 2), common.Argument(2, 10000000)
	kept := common.Argument(3, 100000)
	sums := make(chan uint64)
	for i := uint64(0); i < threads; i++ {
		go work(i, operations, kept, sums)
	}
	sum := uint64(0)
	for i := uint64(0); i < threads; i++ {
		sum += <-sums
	}
	common.Report(sum, nil)
}
