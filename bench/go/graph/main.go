// SPDX-License-Identifier: MIT

// The twin of bench/gc/graph.c.
package main

import "bench/common"

const walkSteps = 4

type edge struct {
	to     *node
	weight uint64
}

type node struct {
	out        [2]*edge
	id, visits uint64
}

var graph []*node

func anyNode(random *common.Random) *node {
	return graph[random.Below(uint64(len(graph)))]
}

func build(nodes uint64, random *common.Random) {
	graph = make([]*node, nodes)
	for i := range graph {
		graph[i] = &node{id: uint64(i)}
	}
	for i := range graph {
		for k := range graph[i].out {
			graph[i].out[k] = &edge{anyNode(random), uint64(i)}
		}
	}
}

func walk(n *node, which uint64) uint64 {
	sum := uint64(0)
	for i := 0; i < walkSteps; i++ {
		e := n.out[which>>i%2]
		n = e.to
		sum += e.weight + n.id + n.visits
		n.visits++
	}
	return sum
}

var latencies common.Latencies

func main() {
	nodes, steps := common.Argument(1, 10000000), common.Argument(2, 10000000)
	random := &common.Random{State: 1}
	sum := uint64(0)
	build(nodes, random)
	latencies.Begin()
	for i := uint64(0); i < steps; i++ {
		from := anyNode(random)
		to := anyNode(random)
		from.out[i%2] = &edge{to, i}
		sum += walk(to, i)
		latencies.Note()
	}
	common.Report(sum, &latencies)
}
