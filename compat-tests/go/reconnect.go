package main

import (
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

// reconnect keeps a client with a session, watches and credentials over restarts of the server.
func reconnect() {
	c := connect(20 * time.Second)
	session := c.SessionID()
	c.auth("digest", "bob:builds")
	c.create("/r", "", 0)
	c.create("/r/e", "", zk.FlagEphemeral)
	c.createWith("/r/secret", zk.AuthACL(zk.PermAll))
	for _, how := range []string{"kill", "stop", "kill"} {
		section(how)
		data, soon, children := c.watchData("/r"), c.watchExistence("/r/soon"), c.watchChildren("/r")
		order(how)
		c.waitFor(zk.StateDisconnected)
		order("start")
		c.waitFor(zk.StateHasSession)
		fmt.Println("same session:", c.SessionID() == session)
		c.exists("/r/e")
		c.get("/r/secret")
		c.set("/r", how, -1)
		c.create("/r/soon", "", 0)
		data.fires()
		soon.fires()
		children.fires()
		c.delete("/r/soon", -1)
		c.exists("/r")
	}
	c.Close()
}
