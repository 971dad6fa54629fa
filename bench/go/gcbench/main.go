// SPDX-License-Identifier: MIT

// The twin of bench/gcbench.c: the same work on Go's heap.
package main

import (
	"bench/common"
	"fmt"
	"os"
	"time"
)

const (
	stretchDepth = 18
	lastingDepth = 16
	arrayLength  = 500000
	minDepth     = 4
	maxDepth     = 16
)

type node struct {
	left, right *node
	i, j        int32
}

func treeSize(depth uint) int  { return 1<<(depth+1) - 1 }
func treeCount(depth uint) int { return 2 * treeSize(stretchDepth) / treeSize(depth) }

func buildUp(depth int) *node {
	if depth <= 0 {
		return &node{}
	}
	left := buildUp(depth - 1)
	return &node{left: left, right: buildUp(depth - 1)}
}

func buildDown(depth int, n *node) {
	if depth <= 0 {
		return
	}
	n.left, n.right = &node{}, &node{}
	buildDown(depth-1, n.left)
	buildDown(depth-1, n.right)
}

func count(n *node) int {
	if n == nil {
		return 0
	}
	return 1 + count(n.left) + count(n.right)
}

var sink *node

func construct(depth int) {
	n := treeCount(uint(depth))
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = &node{}
		buildDown(depth, sink)
	}
	middle := time.Now()
	for i := 0; i < n; i++ {
		sink = buildUp(depth)
	}
	sink = nil
	fmt.Fprintf(os.Stderr, "%d trees of depth %d: down %d ms, up %d ms\n", n, depth,
		middle.Sub(start).Milliseconds(), time.Since(middle).Milliseconds())
}

func main() {
	scale := int(common.Argument(1, 1))
	sink = buildUp(stretchDepth)
	sink = nil
	lasting := &node{}
	buildDown(lastingDepth, lasting)
	array := make([]float64, arrayLength)
	for i := 0; i < arrayLength/2; i++ {
		array[i] = 1.0 / float64(i+1)
	}
	for s := 0; s < scale; s++ {
		for d := minDepth; d <= maxDepth; d += 2 {
			construct(d)
		}
	}
	if array[1000] != 1.0/1001 || lasting.left == nil {
		fmt.Fprintln(os.Stderr, "gcbench: what should stay is damaged")
		os.Exit(1)
	}
	common.Report(uint64(count(lasting)+scale), nil)
}
