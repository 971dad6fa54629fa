// SPDX-License-Identifier: MIT

// The twin of bench/gc/cache.c.
package main

import "bench/common"

const (
	dataBytes = 400
	perBucket = 4
)

type value struct {
	owner   *entry
	version uint64
	data    [dataBytes]byte
}

type entry struct {
	next, previous *entry
	value          *value
	key            uint64
	uses           [10]uint64
}

var table []*entry

func newValue(owner *entry, version uint64) *value {
	v := &value{owner: owner, version: version}
	copy(v.data[:], common.Pattern(dataBytes, version))
	return v
}

func newEntry(key, version uint64) *entry {
	e := &entry{key: key}
	e.value = newValue(e, version)
	return e
}

func push(b **entry, e *entry) {
	e.next = *b
	if *b != nil {
		(*b).previous = e
	}
	*b = e
}

func put(key, version uint64) {
	b := &table[key%uint64(len(table))]
	var last *entry
	n := 0
	for e := *b; e != nil; e = e.next {
		if e.key == key {
			e.value = newValue(e, version)
			return
		}
		last = e
		n++
	}
	push(b, newEntry(key, version))
	if n >= perBucket {
		last.previous.next = nil
	}
}

func get(key uint64) uint64 {
	for e := table[key%uint64(len(table))]; e != nil; e = e.next {
		if e.key == key {
			e.uses[key%10]++
			return e.value.version + uint64(e.value.data[key%dataBytes]) +
				e.value.owner.uses[key%10]
		}
	}
	return 1
}

var latencies common.Latencies

func main() {
	entries := common.Argument(1, 4000000)
	operations := common.Argument(2, 8000000)
	random := common.Random{State: 1}
	sum := uint64(0)
	table = make([]*entry, (entries+perBucket-1)/perBucket)
	for key := uint64(0); key < entries; key++ {
		put(key, key)
	}
	latencies.Begin()
	for i := uint64(0); i < operations; i++ {
		sum += get(random.Below(2 * entries))
		put(random.Below(2*entries), i)
		latencies.Note()
	}
	common.Report(sum, &latencies)
}
