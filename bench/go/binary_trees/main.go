// SPDX-License-Identifier: MIT

// The twin of bench/binary_trees.c: the same work on Go's heap.
package main

import (
	"fmt"
	"os"
	"strconv"
)

type tree struct{ left, right *tree }

func build(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{build(depth - 1), build(depth - 1)}
}

func (t *tree) count() int {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.count() + t.right.count()
}

func main() {
	const minDepth = 4
	depth := 20
	if len(os.Args) > 1 {
		depth, _ = strconv.Atoi(os.Args[1])
	}
	maxDepth := depth
	if maxDepth < minDepth+2 {
		maxDepth = minDepth + 2
	}
	fmt.Printf("stretch tree of depth %d\t check: %d\n", maxDepth+1,
		build(maxDepth+1).count())
	lasting := build(maxDepth)
	for d := minDepth; d <= maxDepth; d += 2 {
		trees := 1 << uint(maxDepth-d+minDepth)
		check := 0
		for i := 0; i < trees; i++ {
			check += build(d).count()
		}
		fmt.Printf("%d\t trees of depth %d\t check: %d\n", trees, d, check)
	}
	fmt.Printf("long lived tree of depth %d\t check: %d\n", maxDepth,
		lasting.count())
}
