package main

import (
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

func (c *client) createWith(path string, acl []zk.ACL) {
	_, err := c.Create(path, []byte("x"), 0, acl)
	fmt.Printf("create %s with %v: %s\n", path, acl, word(err))
}

func (c *client) auth(scheme, id string) {
	fmt.Printf("auth %s %s: %s\n", scheme, id, word(c.AddAuth(scheme, []byte(id))))
}

func (c *client) try(who, path string) {
	section(who + " on " + path)
	c.get(path)
	c.set(path, who, -1)
	c.children(path)
	c.create(path+"/child", "", 0)
	c.delete(path+"/child", -1)
	c.acl(path)
}

// aclAndAuth sets ACLs of every scheme and uses them with and without the credentials.
func aclAndAuth() {
	c := connect(10 * time.Second)
	other := connect(10 * time.Second)

	section("schemes")
	c.createWith("/world", zk.WorldACL(zk.PermRead))
	c.createWith("/auth-none", zk.AuthACL(zk.PermAll))
	c.createWith("/digest", zk.DigestACL(zk.PermAll, "bob", "builds"))
	c.createWith("/ip", []zk.ACL{{Perms: zk.PermAll, Scheme: "ip", ID: "127.0.0.1"}})
	c.createWith("/ip-else", []zk.ACL{{Perms: zk.PermAll, Scheme: "ip", ID: "10.1.1.1"}})
	c.createWith("/bad", []zk.ACL{{Perms: zk.PermAll, Scheme: "bad", ID: "x"}})
	c.createWith("/two", append(zk.WorldACL(zk.PermRead), zk.DigestACL(zk.PermAll, "bob", "builds")...))
	for _, path := range []string{"/world", "/digest", "/ip", "/ip-else", "/two"} {
		c.try("nobody", path)
	}

	c.auth("digest", "bob:builds")
	c.createWith("/auth", zk.AuthACL(zk.PermAll))
	for _, path := range []string{"/digest", "/two", "/auth"} {
		c.try("bob", path)
		other.try("another", path)
	}

	section("set ACL")
	stat, err := other.SetACL("/digest", open, -1)
	say("another", err)
	stat, err = c.SetACL("/digest", open, 3)
	say("bob at a wrong version", err)
	stat, err = c.SetACL("/digest", open, 0)
	say("bob", err)
	c.sayStat(stat)
	other.try("another", "/digest")

	section("bad credentials")
	wrong := connect(10 * time.Second)
	wrong.auth("digest", "bob:breaks")
	wrong.try("wrong bob", "/two")
	wrong.Close()

	super := connect(10 * time.Second)
	super.auth("digest", "super:secret")
	super.try("super", "/ip-else")
	super.Close()
	c.Close()
	other.Close()
}
