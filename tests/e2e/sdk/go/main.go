// The Go SDK's client of the end-to-end test: a known workload, a few uploads, a clean stop.
// usage: client ADDR SERVICE; prints one JSON line that check.py reads.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/grafana/pyroscope-go"
)

const (
	uploadRate = 1500 * time.Millisecond
	uploads    = 3
	hotSlice   = 60 * time.Millisecond // of CPU, then coldSlice: 3 to 1
	coldSlice  = 20 * time.Millisecond
	blockBytes = 64 << 10
)

var sink uint64
var kept [][]byte

func cpuTime(who int) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(who, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

//go:noinline
func spin(n int) uint64 {
	x := uint64(88172645463325252)
	for i := 0; i < n; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

//go:noinline
func sdk_hot_work(budget time.Duration) {
	until := cpuTime(syscall.RUSAGE_SELF) + budget
	for cpuTime(syscall.RUSAGE_SELF) < until {
		sink += spin(200000)
	}
}

//go:noinline
func sdk_cold_work(budget time.Duration) {
	until := cpuTime(syscall.RUSAGE_SELF) + budget
	for cpuTime(syscall.RUSAGE_SELF) < until {
		sink += spin(200000)
	}
}

//go:noinline
func sdk_alloc_work() {
	for i := 0; i < 8; i++ {
		kept = append(kept, bytes.Repeat([]byte{byte(i)}, blockBytes))
	}
	if len(kept) > 64 {
		kept = kept[32:]
	}
}

type report struct {
	Sdk        string  `json:"sdk"`
	Service    string  `json:"service"`
	StartMs    int64   `json:"start_ms"`
	EndMs      int64   `json:"end_ms"`
	HotCPU     float64 `json:"hot_cpu_s"`
	HotWall    float64 `json:"hot_wall_s"`
	ColdCPU    float64 `json:"cold_cpu_s"`
	ColdWall   float64 `json:"cold_wall_s"`
	ProcessCPU float64 `json:"process_cpu_s"`
	AllocBytes uint64  `json:"alloc_bytes"`
}

func timed(cpu, wall *float64, work func()) {
	c, w := cpuTime(syscall.RUSAGE_SELF), time.Now()
	work()
	*cpu += (cpuTime(syscall.RUSAGE_SELF) - c).Seconds()
	*wall += time.Since(w).Seconds()
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: client ADDR SERVICE")
		os.Exit(2)
	}
	runtime.MemProfileRate = 16 << 10
	r := report{Sdk: "go", Service: os.Args[2], StartMs: time.Now().UnixMilli()}
	profiler, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: r.Service,
		ServerAddress:   "http://" + os.Args[1],
		UploadRate:      uploadRate,
		Tags:            map[string]string{"region": "e2e"},
		ProfileTypes: []pyroscope.ProfileType{
			pyroscope.ProfileCPU, pyroscope.ProfileAllocSpace, pyroscope.ProfileInuseSpace,
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		os.Exit(1)
	}
	for end := time.Now().Add(uploads * uploadRate); time.Now().Before(end); {
		pyroscope.TagWrapper(context.Background(), pyroscope.Labels("section", "hot"), func(context.Context) {
			timed(&r.HotCPU, &r.HotWall, func() { sdk_hot_work(hotSlice) })
		})
		pyroscope.TagWrapper(context.Background(), pyroscope.Labels("section", "cold"), func(context.Context) {
			timed(&r.ColdCPU, &r.ColdWall, func() { sdk_cold_work(coldSlice) })
		})
		sdk_alloc_work()
	}
	profiler.Flush(true)
	if err := profiler.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop:", err)
		os.Exit(1)
	}
	r.EndMs = time.Now().UnixMilli()
	r.ProcessCPU = cpuTime(syscall.RUSAGE_SELF).Seconds()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.AllocBytes = m.TotalAlloc
	line, _ := json.Marshal(r)
	fmt.Println(string(line))
}
