package main

import (
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

// words reads the four-letter words through the library's parsers, which are strict about their shape.
func words() {
	c := connect(10 * time.Second)
	c.create("/a", "", 0)

	fmt.Println("ruok:", zk.FLWRuok([]string{address}, 10*time.Second))
	stats, ok := zk.FLWSrvr([]string{address}, 10*time.Second)
	fmt.Println("srvr:", ok, len(stats))
	for _, s := range stats {
		fmt.Println("  error:", s.Error, "mode:", s.Mode, "version:", s.Version, "zxid:", s.Epoch, s.Counter,
			"connections:", s.Connections, "outstanding:", s.Outstanding, "nodes:", s.NodeCount,
			"built:", !s.BuildTime.IsZero(), "sent:", s.Sent > 0, "received:", s.Received > 0,
			"latency:", s.MinLatency >= 0 && s.AvgLatency >= 0 && s.MaxLatency >= 0)
	}
	clients, ok := zk.FLWCons([]string{address}, 10*time.Second)
	fmt.Println("cons:", ok, len(clients))
	for _, server := range clients {
		fmt.Println("  error:", server.Error, "clients:", len(server.Clients))
		for _, s := range server.Clients {
			if s.SessionID == c.SessionID() {
				fmt.Println("  mine: queued", s.Queued, "operation", s.LastOperation, "timeout", s.Timeout,
					"cxid", s.Lcxid, "zxid", s.Lzxid, "established", !s.Established.IsZero(), "sent", s.Sent,
					"received", s.Received, "error", s.Error)
			}
		}
	}
	c.Close()
}
