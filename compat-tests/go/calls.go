package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// calls makes every call that reads or writes, with its ordinary and its refused answers.
func calls() {
	c := connect(10 * time.Second)
	fmt.Println("server named:", c.Server() == address)

	section("a fresh tree")
	for _, path := range []string{"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"} {
		c.exists(path)
		c.get(path)
		c.children(path)
		c.acl(path)
	}

	section("create")
	c.create("/a", "one", 0)
	c.create("/a", "again", 0)
	c.create("/a/b", "", 0)
	c.create("/no/parent", "", 0)
	c.create("/a/äöü€", "\x00\xff", 0)
	c.create("/a/trailing/", "", 0)
	c.create("/", "", 0)
	made, err := c.Create("/a/null", nil, 0, open)
	fmt.Println("create with null data:", word(err), made)
	_, err = c.Create("/a/noacl", nil, 0, nil)
	say("create with no ACL", err)
	_, err = c.Create("/a/emptyacl", nil, 0, []zk.ACL{})
	say("create with an empty ACL", err)

	section("read")
	c.get("/a")
	c.get("/a/null")
	c.get("/a/äöü€")
	c.get("/nothing")
	c.exists("/a/b")
	c.exists("/nothing/deep")
	c.children("/a")
	c.children("/a/b")
	c.children("/nothing")
	c.acl("/a")
	c.acl("/nothing")

	section("set")
	c.set("/a", "two", 0)
	c.set("/a", "three", 0)
	c.set("/a", "three", -1)
	c.set("/nothing", "x", -1)
	c.set("/", "root", -1)
	c.get("/")

	section("large")
	c.create("/large", strings.Repeat("z", 900_000), 0)
	data, stat, err := c.Get("/large")
	fmt.Println("get /large:", word(err), len(data), strings.Trim(string(data), "z") == "")
	c.sayStat(stat)

	section("sync and reconfig")
	path, err := c.Sync("/a")
	fmt.Println("sync:", word(err), path)
	path, err = c.Sync("/nothing")
	fmt.Println("sync of nothing:", word(err), path)
	_, err = c.IncrementalReconfig([]string{"server.2=127.0.0.1:1:2;3"}, nil, -1)
	say("incremental reconfig", err)
	_, err = c.Reconfig([]string{"server.2=127.0.0.1:1:2;3"}, -1)
	say("reconfig", err)

	section("many at once")
	c.create("/many", "", 0)
	var all sync.WaitGroup
	for i := 0; i < 50; i++ {
		all.Add(1)
		go func(name string) {
			defer all.Done()
			if _, err := c.Create(name, []byte(name), 0, open); err != nil {
				fail("create %s: %v", name, err)
			}
			if data, _, err := c.Get(name); err != nil || string(data) != name {
				fail("get %s: %q %v", name, data, err)
			}
		}(fmt.Sprintf("/many/%02d", i))
	}
	all.Wait()
	list, stat, err := c.Children("/many")
	fmt.Println("children /many:", word(err), names(list))
	c.sayStat(stat)

	section("delete")
	c.delete("/a", -1)
	c.delete("/a/b", 5)
	c.delete("/a/b", 0)
	c.delete("/a/b", 0)
	c.delete("/", -1)
	c.delete("/zookeeper", -1)
	c.exists("/a")

	c.Close()
	_, _, err = c.Get("/")
	say("get after close", err)
}
