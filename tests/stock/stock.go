// What any Go program asks of the system: goroutines on several threads, channels, the garbage
// collector, files, time, maps.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"time"
)

func work(id int, jobs <-chan int, results chan<- string, group *sync.WaitGroup) {
	defer group.Done()
	for n := range jobs {
		sum := 0
		for i := 1; i <= n; i++ {
			sum += i * i % 7
		}
		results <- fmt.Sprintf("job %02d: %d", n, sum)
	}
}

func main() {
	jobs, results := make(chan int), make(chan string, 100)
	var group sync.WaitGroup
	for i := 0; i < 4; i++ {
		group.Add(1)
		go work(i, jobs, results, &group)
	}
	for n := 1; n <= 20; n++ {
		jobs <- n
	}
	close(jobs)
	group.Wait()
	close(results)
	var lines []string
	for line := range results {
		lines = append(lines, line)
	}
	sort.Strings(lines)
	fmt.Println(strings.Join(lines, "\n"))

	kept := map[int][]byte{}
	for i := 0; i < 2000; i++ {
		kept[i%50] = make([]byte, 4096)
	}
	fmt.Println("kept", len(kept))

	if err := os.WriteFile("file", []byte("written by go\n"), 0o644); err != nil {
		fmt.Println(err)
	}
	data, err := os.ReadFile("file")
	fmt.Print(string(data))
	_, err = os.Open("absent")
	fmt.Println(err)

	begun := time.Now()
	select {
	case <-time.After(5 * time.Millisecond):
		fmt.Println("time went by:", time.Since(begun) >= 5*time.Millisecond)
	}
	defer func() { fmt.Println("recovered:", recover()) }()
	var nothing *int
	fmt.Println(*nothing)
}
