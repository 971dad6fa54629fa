// SPDX-License-Identifier: MIT

package common

// Random is SplitMix64.
type Random struct{ State uint64 }

// Next is any number.
func (r *Random) Next() uint64 {
	r.State += 0x9E3779B97F4A7C15
	z := r.State
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

// Below is a number below n, which is under 1<<32.
func (r *Random) Below(n uint64) uint64 { return ((r.Next() >> 32) * n) >> 32 }

const (
	patternBytes  = 2048
	patternStarts = 1024
)

var pattern [patternBytes]byte

func init() {
	r := Random{2}
	for i := range pattern {
		pattern[i] = byte(r.Next())
	}
}

// Pattern is n bytes to fill objects from.
func Pattern(n int, start uint64) []byte {
	start %= patternStarts
	return pattern[start : start+uint64(n)]
}
