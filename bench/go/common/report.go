// SPDX-License-Identifier: MIT

// Package common is bench/report.h and bench/gc/program.h for the Go twins.
package common

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

const windowNs = 10000000

var start = time.Now()

// Now is the monotonic clock, in nanoseconds.
func Now() uint64 { return uint64(time.Since(start)) }

// Argument is the ith argument of the program, or otherwise.
func Argument(i int, otherwise uint64) uint64 {
	if len(os.Args) > i {
		n, _ := strconv.ParseUint(os.Args[i], 10, 63)
		return n
	}
	return otherwise
}

// Histogram counts by size, with 16 slots for each power of two.
type Histogram struct {
	count, max uint64
	slots      [976]uint64
}

func slot(v uint64) int {
	if v < 16 {
		return int(v)
	}
	log := 63 - bits.LeadingZeros64(v)
	return 16*(log-3) + int(v>>(log-4))&15
}

func slotMax(slot int) uint64 {
	if slot < 16 {
		return uint64(slot)
	}
	return uint64(17+slot%16)<<(slot/16-1) - 1
}

func (h *Histogram) add(v uint64) {
	h.slots[slot(v)]++
	h.count++
	if v > h.max {
		h.max = v
	}
}

func (h *Histogram) quantile(thousandths uint64) uint64 {
	sum := uint64(0)
	for i, n := range h.slots {
		sum += n
		if sum*1000 >= h.count*thousandths {
			if v := slotMax(i); v < h.max {
				return v
			}
			break
		}
	}
	return h.max
}

// Latencies are those of operations, one after another.
type Latencies struct {
	ns, rate                     Histogram
	last, windowEnd, windowCount uint64
}

// Begin starts the first operation.
func (l *Latencies) Begin() {
	l.last = Now()
	l.windowEnd = l.last + windowNs
}

// Note ends an operation and starts the next.
func (l *Latencies) Note() {
	now := Now()
	l.ns.add(now - l.last)
	l.last = now
	for ; now >= l.windowEnd; l.windowEnd += windowNs {
		l.rate.add(l.windowCount)
		l.windowCount = 0
	}
	l.windowCount++
}

// StatusKib is a line "name: N kB" of /proc/self/status.
func StatusKib(name string) uint64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, name) {
			n, _ := strconv.ParseUint(strings.Fields(line[len(name):])[0], 10, 64)
			return n
		}
	}
	return 0
}

// pauses are all that the program had, each on its own, at the upper ends of the
// runtime's classes: at most a sixteenth too high.
func pauses() (count, p50, p99, max uint64) {
	sample := []metrics.Sample{{Name: "/gc/pauses:seconds"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return
	}
	h := sample[0].Value.Float64Histogram()
	end := func(i int) uint64 {
		if math.IsInf(h.Buckets[i+1], 1) {
			return uint64(h.Buckets[i] * 1e9)
		}
		return uint64(h.Buckets[i+1] * 1e9)
	}
	for i, n := range h.Counts {
		if n > 0 {
			count, max = count+n, end(i)
		}
	}
	quantile := func(q uint64) uint64 {
		sum := uint64(0)
		for i, n := range h.Counts {
			if sum += n; sum*100 >= q*count {
				return end(i)
			}
		}
		return max
	}
	if count > 0 {
		p50, p99 = quantile(50), quantile(99)
	}
	return
}

// Collections is how many there have been.
func Collections() uint32 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NumGC
}

// Report prints the line that runners read. l may be nil.
func Report(checksum uint64, l *Latencies) {
	collections := Collections()
	count, p50, p99, max := pauses()
	fmt.Printf("bench: checksum=%d peak_kib=%d collections=%d pauses=%d "+
		"pause_p50_ns=%d pause_p99_ns=%d pause_max_ns=%d", checksum,
		StatusKib("VmHWM:"), collections, count, p50, p99, max)
	if l != nil && l.ns.count > 0 {
		fmt.Printf(" operations=%d op_p50_ns=%d op_p99_ns=%d op_p999_ns=%d "+
			"op_max_ns=%d", l.ns.count, l.ns.quantile(500), l.ns.quantile(990),
			l.ns.quantile(999), l.ns.max)
	}
	if l != nil && l.rate.count > 0 {
		fmt.Printf(" rate_p50=%d rate_p05=%d",
			l.rate.quantile(500)*(1000000000/windowNs),
			l.rate.quantile(50)*(1000000000/windowNs))
	}
	fmt.Println()
}
