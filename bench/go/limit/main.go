// SPDX-License-Identifier: MIT

// The twin of bench/gc/limit.c; the limit is GOMEMLIMIT.
package main

import (
	"bench/common"
	"fmt"
	"os"
	"unsafe"
)

const (
	shortest      = 64
	longest       = 960
	betweenClocks = 64
	recordBytes   = uint64(unsafe.Sizeof(record{}))
)

type record struct {
	text           *byte
	length, number uint64
	uses           [5]uint64
}

var (
	places      []*record
	count, live uint64
	random      = &common.Random{State: 1}
)

func replace(p **record) {
	n := shortest + random.Below(longest-shortest+1)
	from := common.Pattern(int(n), n)
	text := make([]byte, len(from))
	copy(text, from)
	r, old := &record{length: n, number: count, text: &text[0]}, *p
	*p = r
	live += recordBytes + n
	if old != nil {
		live -= recordBytes + old.length
	}
}

func grow(target, deadline uint64) {
	for live < target && count < uint64(len(places)) {
		replace(&places[count])
		count++
		if count%betweenClocks == 0 && common.Now() > deadline {
			return
		}
	}
}

func churn(ns uint64) float64 {
	begin, done := common.Now(), uint64(0)
	now := begin
	for ; now-begin < ns; now = common.Now() {
		for i := 0; i < betweenClocks; i++ {
			replace(&places[random.Below(count)])
		}
		done += betweenClocks
	}
	return float64(done) * 1e9 / float64(now-begin)
}

func step(percent, limit, ns uint64) {
	if os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) != nil {
		fmt.Fprintln(os.Stderr, "no clear_refs")
	}
	grow(limit/100*percent, common.Now()+10*ns)
	rate := churn(ns)
	fmt.Printf("step: percent=%d live_kib=%d rate=%.0f peak_kib=%d "+
		"resident_kib=%d collections=%d\n", percent, live/1024, rate,
		common.StatusKib("VmHWM:"), common.StatusKib("VmRSS:"),
		common.Collections())
}

func main() {
	limit := common.Argument(1, 512) << 20
	ns := common.Argument(2, 2000) * 1000000
	last := common.Argument(3, 200)
	most := last
	if most < 100 {
		most = 100
	}
	places = make([]*record, limit/100*most/512)
	live = uint64(len(places)) * 8
	for percent := uint64(10); percent <= 100; percent += 10 {
		step(percent, limit, ns)
	}
	if last > 100 {
		step(last, limit, ns)
	}
}
