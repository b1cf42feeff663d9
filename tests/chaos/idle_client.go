// A client as Knative's queue-proxy and activator are ones: Go's transport, which keeps idle connections for 90 s.
//
// It posts on so many connections at once, leaves each of them idle for a time of its own, posts on it again and prints
// how that went as JSON. A POST that meets a closed connection is not sent again by Go, so a reset is seen.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

type outcome struct {
	Answered int      `json:"answered"`
	Reused   int      `json:"reused"`
	Failures []string `json:"failures"`
}

// post tells whether the connection had been used before.
func post(client *http.Client, url, body string) (bool, error) {
	// A reader of no known kind: Go cannot read it twice, as it cannot read what it proxies.
	request, err := http.NewRequest(http.MethodPost, url, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		return false, err
	}
	request.ContentLength = int64(len(body))
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { reused = got.Reused }}
	answer, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return reused, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return reused, err
	}
	if answer.StatusCode != http.StatusOK {
		return reused, fmt.Errorf("status %d", answer.StatusCode)
	}
	return reused, nil
}

func main() {
	url, body := os.Args[1], os.Args[2]
	connections, _ := strconv.Atoi(os.Args[3])
	shortest, _ := time.ParseDuration(os.Args[4])
	longest, _ := time.ParseDuration(os.Args[5])
	said := outcome{Failures: []string{}}
	var lock sync.Mutex
	var all sync.WaitGroup
	for n := range connections {
		all.Add(1)
		go func() {
			defer all.Done()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second}}
			_, err := post(client, url, body)
			reused := false
			if err == nil {
				time.Sleep(shortest + (longest-shortest)*time.Duration(n)/time.Duration(connections))
				reused, err = post(client, url, body)
			}
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				said.Failures = append(said.Failures, err.Error())
				return
			}
			said.Answered++
			if reused {
				said.Reused++
			}
		}()
	}
	all.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(said)
}
