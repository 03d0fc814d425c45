package main

import (
	"encoding/json"
	"fmt"
	"math/rand"

	"github.com/lightstep/go-expohisto/structure"
)

type Case struct {
	Name    string   `json:"name"`
	Unit    int64    `json:"unit_ns"`
	Max     int32    `json:"max_size"`
	Values  []int64  `json:"durations_ns"`
	Scale   int32    `json:"scale"`
	Offset  int32    `json:"offset"`
	Zeros   uint64   `json:"zeros"`
	Buckets []uint64 `json:"buckets"`
	Min     float64  `json:"min"`
	MaxV    float64  `json:"max"`
}

func main() {
	r := rand.New(rand.NewSource(7))
	lists := map[string][]int64{
		"nothing":            {},
		"one millisecond":    {1000000},
		"a nanosecond":       {1},
		"only zeros":         {0, 0, 0},
		"zeros and others":   {0, 5000000, 0, 7000000},
		"powers of two":      {1000000, 2000000, 4000000, 8000000, 500000, 250000, 15625},
		"powers of two s":    {1000000000, 2000000000, 4000000000, 500000000, 250000000, 1953125},
		"below and above 1":  {999999, 1000000, 1000001},
		"neighbours":         {123456789, 123456790, 123456791},
		"everything":         {1, 9000000000000000000},
		"a century and a ns": {3155760000000000000, 1, 86400000000000},
	}
	for _, n := range []int{5, 40} {
		l := []int64{}
		for i := 0; i < n; i++ {
			l = append(l, int64(r.ExpFloat64()*float64(int64(1)<<uint(10+r.Intn(30)))))
		}
		lists[fmt.Sprintf("%d of any size", n)] = l
		l = []int64{}
		for i := 0; i < n; i++ {
			l = append(l, 50000000+int64(r.Intn(10000000)))
		}
		lists[fmt.Sprintf("%d alike", n)] = l
	}
	names := []string{"nothing", "one millisecond", "a nanosecond", "only zeros", "zeros and others", "powers of two", "powers of two s", "below and above 1", "neighbours", "everything", "a century and a ns", "5 of any size", "40 of any size", "5 alike", "40 alike"}
	for _, name := range names {
		for _, u := range []int64{1000000, 1000000000} {
			for _, m := range []int32{2, 4, 20, 160} {
				h := new(structure.Histogram[float64])
				h.Init(structure.NewConfig(structure.WithMaxSize(m)))
				for _, v := range lists[name] {
					h.Update(float64(v) / float64(u))
				}
				b := []uint64{}
				for i := uint32(0); i < h.Positive().Len(); i++ {
					b = append(b, h.Positive().At(i))
				}
				for len(b) > 0 && b[len(b)-1] == 0 {
					b = b[:len(b)-1]
				}
				c := Case{name, u, m, lists[name], h.Scale(), h.Positive().Offset(), h.ZeroCount(), b, h.Min(), h.Max()}
				j, _ := json.Marshal(c)
				fmt.Println(string(j))
			}
		}
	}
}
