// SPDX-License-Identifier: MIT

// The twin of bench/gc/drop.c.
package main

import (
	"bench/common"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

const listLength = 1000

type node struct {
	next   *node
	number [15]uint64
}

var lists []*node

//go:noinline
func build(n uint64) *node {
	var first *node
	for i := uint64(0); i < n; i++ {
		p := &node{next: first}
		for k := range p.number {
			p.number[k] = i
		}
		first = p
	}
	return first
}

func residentKib() uint64 {
	text, _ := os.ReadFile("/proc/self/smaps_rollup")
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "Rss:") {
			n, _ := strconv.ParseUint(strings.Fields(line[4:])[0], 10, 64)
			return n
		}
	}
	return common.StatusKib("VmRSS:")
}

func say(ms int64) {
	fmt.Printf("drop: after_ms=%d resident_kib=%d\n", ms, residentKib())
}

func main() {
	perList := uint64(listLength * unsafe.Sizeof(node{}))
	kept := (common.Argument(2, 100) << 20) / perList
	times := []int64{1000, 10000, 60000}
	if len(os.Args) > 3 {
		times = nil
		for i := 3; i < len(os.Args); i++ {
			times = append(times, int64(common.Argument(i, 0)))
		}
	}
	lists = make([]*node, (common.Argument(1, 2048)<<20)/perList)
	for i := range lists {
		lists[i] = build(listLength)
	}
	say(-1)
	for i := kept; i < uint64(len(lists)); i++ {
		lists[i] = nil
	}
	dropped := time.Now()
	for _, ms := range times {
		time.Sleep(time.Until(dropped.Add(time.Duration(ms) * time.Millisecond)))
		say(ms)
	}
	runtime.KeepAlive(lists)
}
