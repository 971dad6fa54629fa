// SPDX-License-Identifier: MIT

// The twin of bench/gc/strings.c.
package main

import "bench/common"

const (
	shortest = 16
	longest  = 512
)

func half(b []byte) []byte {
	if len(b) < longest/2 {
		return b
	}
	return b[:longest/2]
}

func build(random *common.Random) []byte {
	n := int(shortest + random.Below(longest-shortest+1))
	from := common.Pattern(n, random.Next())
	t := make([]byte, len(from))
	copy(t, from)
	return t
}

func concatenate(a, b []byte) []byte {
	a, b = half(a), half(b)
	t := make([]byte, len(a)+len(b))
	copy(t, a)
	copy(t[len(a):], b)
	return t
}

var latencies common.Latencies

func main() {
	kept, operations := common.Argument(1, 1000000), common.Argument(2, 20000000)
	random := &common.Random{State: 1}
	sum := uint64(0)
	table := make([][]byte, kept)
	for i := range table {
		table[i] = build(random)
	}
	latencies.Begin()
	for i := uint64(0); i < operations; i++ {
		var t []byte
		if random.Below(4) != 0 {
			t = build(random)
		} else {
			a := table[random.Below(kept)]
			b := table[random.Below(kept)]
			t = concatenate(a, b)
		}
		place := &table[random.Below(kept)]
		old := *place
		sum += uint64(len(old)) + uint64(old[0]) + uint64(old[len(old)-1])
		*place = t
		latencies.Note()
	}
	common.Report(sum, &latencies)
}
