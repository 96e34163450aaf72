package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// createModes makes nodes of every kind; the server runs with extendedTypesEnabled and a quick reaper.
func createModes() {
	c := connect(10 * time.Second)

	section("modes")
	c.create("/p", "", zk.FlagPersistent)
	c.create("/e", "", zk.FlagEphemeral)
	c.create("/e/child", "", zk.FlagPersistent)
	c.create("/p/s-", "", zk.FlagSequence)
	c.create("/p/es-", "", zk.FlagEphemeralSequential)
	c.create("/p/", "", zk.FlagSequence)
	c.create("/p/ttl", "", zk.FlagTTL)
	c.create("/p/flag9", "", 9)
	// Answered with success, and a plain node: upstream looks at the operation, not at the flag.
	c.create("/p/container-flag", "", zk.FlagContainer)
	for _, path := range []string{"/p", "/e", "/p/s-0000000000", "/p/es-0000000001", "/p/0000000002"} {
		c.exists(path)
	}
	c.children("/p")

	section("containers")
	made, err := c.CreateContainer("/c", nil, zk.FlagContainer, open)
	fmt.Println("container:", word(err), made)
	_, err = c.CreateContainer("/c2", nil, zk.FlagPersistent, open)
	say("container with another flag", err)
	c.exists("/c")
	c.create("/c/child", "", 0)
	c.delete("/c/child", -1)
	c.waitUntilGone("/c")

	section("TTL")
	made, err = c.CreateTTL("/t", []byte("x"), zk.FlagTTL, open, 200*time.Millisecond)
	fmt.Println("ttl:", word(err), made)
	made, err = c.CreateTTL("/ts-", []byte("x"), zk.FlagPersistentSequentialWithTTL, open, time.Hour)
	fmt.Println("ttl sequential:", word(err), strings.TrimRight(made, "0123456789"))
	_, err = c.CreateTTL("/t0", nil, zk.FlagTTL, open, 0)
	say("a TTL of none", err)
	_, err = c.CreateTTL("/t-", nil, zk.FlagTTL, open, -time.Second)
	say("a negative TTL", err)
	_, err = c.CreateTTL("/tbig", nil, zk.FlagTTL, open, (1<<40)*time.Millisecond)
	say("a TTL too long", err)
	c.waitUntilGone("/t")

	section("protected ephemeral sequential")
	made, err = c.CreateProtectedEphemeralSequential("/p/lock-", nil, open)
	fmt.Println("protected:", word(err), strings.HasPrefix(made, "/p/_c_"), made[len(made)-16:])

	other := connect(10 * time.Second)
	c.Close()
	section("after the session")
	other.waitUntilGone("/e")
	other.children("/p")
	other.Close()
}
