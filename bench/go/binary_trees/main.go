// SPDX-License-Identifier: MIT

// The twin of bench/binary_trees.c: the same work on Go's heap.
package main

import (
	"bench/common"
	"fmt"
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

func work(trees, depth int) int {
	check := 0
	for i := 0; i < trees; i++ {
		check += build(depth).count()
	}
	return check
}

// The sum of the checks of so many trees, shared among the goroutines.
func many(trees, depth, threads int) int {
	checks := make(chan int, threads)
	for i := 0; i < threads; i++ {
		share := trees / threads
		if i < trees%threads {
			share++
		}
		if i == threads-1 {
			checks <- work(share, depth)
		} else {
			go func() { checks <- work(share, depth) }()
		}
	}
	check := 0
	for i := 0; i < threads; i++ {
		check += <-checks
	}
	return check
}

func main() {
	const minDepth = 4
	maxDepth, threads := int(common.Argument(1, 20)), int(common.Argument(2, 1))
	if maxDepth < minDepth+2 {
		maxDepth = minDepth + 2
	}
	fmt.Printf("stretch tree of depth %d\t check: %d\n", maxDepth+1,
		build(maxDepth+1).count())
	lasting := build(maxDepth)
	sum := 0
	for d := minDepth; d <= maxDepth; d += 2 {
		trees := 1 << uint(maxDepth-d+minDepth)
		check := many(trees, d, threads)
		fmt.Printf("%d\t trees of depth %d\t check: %d\n", trees, d, check)
		sum += check
	}
	fmt.Printf("long lived tree of depth %d\t check: %d\n", maxDepth,
		lasting.count())
	common.Report(uint64(sum), nil)
}
