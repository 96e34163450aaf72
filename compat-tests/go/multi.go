package main

import (
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

func (c *client) multi(title string, ops ...any) {
	section(title)
	results, err := c.Multi(ops...)
	fmt.Println("multi:", word(err))
	for i, result := range results {
		fmt.Printf("  %d: %s %s\n", i, word(result.Error), result.String)
		if result.Stat != nil {
			c.sayStat(result.Stat)
		}
	}
}

func create(path string, flags int32) *zk.CreateRequest {
	return &zk.CreateRequest{Path: path, Data: []byte(path), Acl: open, Flags: flags}
}

func set(path string, version int32) *zk.SetDataRequest {
	return &zk.SetDataRequest{Path: path, Data: []byte("set"), Version: version}
}

func remove(path string, version int32) *zk.DeleteRequest {
	return &zk.DeleteRequest{Path: path, Version: version}
}

func check(path string, version int32) *zk.CheckVersionRequest {
	return &zk.CheckVersionRequest{Path: path, Version: version}
}

// multi runs transactions, good and bad.
func multi() {
	c := connect(10 * time.Second)
	c.multi("good", create("/m", 0), create("/m/a", 0), set("/m/a", 0), check("/m/a", 1), remove("/m/a", 1),
		create("/m/s-", zk.FlagSequence), create("/m/s-", zk.FlagSequence), create("/m/e", zk.FlagEphemeral))
	c.children("/m")
	c.multi("bad in the middle", create("/m/x", 0), check("/m", 7), create("/m/y", 0))
	c.multi("bad at the start", remove("/nothing", -1), create("/m/x", 0))
	c.multi("bad at the end", create("/m/x", 0), create("/m/x", 0))
	c.multi("no children for ephemerals", create("/m/e/x", 0))
	c.multi("not empty", remove("/m", -1))
	c.multi("no parent", create("/no/x", 0))
	c.multi("bad flag", create("/m/flag", 9))
	c.multi("check alone", check("/m", 0))
	c.multi("empty")
	denied := &zk.CreateRequest{Path: "/m/closed", Acl: zk.DigestACL(zk.PermAll, "bob", "builds")}
	c.multi("closed node made and used", denied, set("/m/closed", -1))
	c.multi("invalid ACL", &zk.CreateRequest{Path: "/m/acl", Acl: []zk.ACL{{Perms: 31, Scheme: "no", ID: "x"}}})
	c.children("/m")
	c.Close()
}
