// SPDX-License-Identifier: MIT

// The twin of bench/gc/steady.c.
package main

import "bench/common"

const (
	chainLength   = 16
	listLength    = 8
	listsPerChain = 64
)

type node struct {
	next, first *node
	value       uint64
	data        [5]uint64
}

var table []*node

func newList(n int, value uint64) *node {
	var first, list *node
	for i := 0; i < n; i++ {
		node := &node{next: list, value: value + uint64(i)}
		if first == nil {
			first = node
		}
		node.first = first
		list = node
	}
	return list
}

func sumOf(list *node) uint64 {
	sum := uint64(0)
	for ; list != nil; list = list.next {
		sum += list.value + list.first.data[0]
	}
	return sum
}

var latencies common.Latencies

func main() {
	mib := common.Argument(1, 2048)
	operations := common.Argument(2, 20000000)
	random := common.Random{State: 1}
	sum := uint64(0)
	slots := mib << 20 / (chainLength * 64)
	table = make([]*node, slots)
	for i := uint64(0); i < slots; i++ {
		table[i] = newList(chainLength, i)
	}
	latencies.Begin()
	for i := uint64(0); i < operations; i++ {
		sum += sumOf(newList(listLength, i))
		if i%listsPerChain == 0 {
			table[random.Below(slots)] = newList(chainLength, i)
		}
		latencies.Note()
	}
	for _, chain := range table {
		sum += sumOf(chain)
	}
	common.Report(sum, &latencies)
}
