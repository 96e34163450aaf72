package main

import (
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

// armed is a watch that waits for its one event.
type armed struct {
	name   string
	events <-chan zk.Event
}

func (a armed) fires() {
	select {
	case event := <-a.events:
		fmt.Printf("  %s: %v %s %s\n", a.name, event.Type, event.Path, word(event.Err))
	case <-time.After(patience):
		fail("the watch %s does not fire", a.name)
	}
}

// silent tells whether the watch has fired; call after a round trip, which every earlier event precedes.
func (a armed) silent() {
	select {
	case event := <-a.events:
		fmt.Printf("  %s fired: %v %s\n", a.name, event.Type, event.Path)
	default:
		fmt.Printf("  %s: silent\n", a.name)
	}
}

func (c *client) roundTrip() {
	if _, _, err := c.Exists("/"); err != nil {
		fail("no round trip: %v", err)
	}
}

func (c *client) watchData(path string) armed {
	_, _, events, err := c.GetW(path)
	say("watch data of "+path, err)
	return armed{"data of " + path, events}
}

func (c *client) watchExistence(path string) armed {
	found, _, events, err := c.ExistsW(path)
	fmt.Printf("watch existence of %s: %s %v\n", path, word(err), found)
	return armed{"existence of " + path, events}
}

func (c *client) watchChildren(path string) armed {
	_, _, events, err := c.ChildrenW(path)
	say("watch children of "+path, err)
	return armed{"children of " + path, events}
}

// watches arms watches of every kind and changes what they watch, in this session and another.
func watches() {
	c := connect(10 * time.Second)
	other := connect(10 * time.Second)
	for _, who := range []*client{c, other} {
		section(map[bool]string{true: "own changes", false: "changes of another"}[who == c])
		created := c.watchExistence("/w")
		who.create("/w", "", 0)
		created.fires()
		data, children := c.watchData("/w"), c.watchChildren("/w")
		changed := c.watchExistence("/w")
		who.set("/w", "1", -1)
		data.fires()
		changed.fires()
		children.silent()
		who.create("/w/child", "", 0)
		children.fires()
		who.create("/w/second", "", 0)
		gone, itsChildren, parents := c.watchData("/w/child"), c.watchChildren("/w/child"), c.watchChildren("/w")
		who.delete("/w/child", -1)
		gone.fires()
		itsChildren.fires()
		parents.fires()
		c.watchData("/nothing")
		c.watchChildren("/nothing")

		section("no event")
		still := c.watchData("/w")
		stillChildren := c.watchChildren("/w")
		_, err := who.SetACL("/w", open, -1)
		say("set ACL", err)
		who.set("/w/second", "x", -1)
		who.set("/w", "x", 99)
		c.roundTrip()
		still.silent()
		stillChildren.silent()

		section("a transaction")
		second := c.watchData("/w/second")
		who.multi("fails", remove("/w/second", -1), check("/w", 99))
		c.roundTrip()
		second.silent()
		who.multi("succeeds", remove("/w/second", -1), remove("/w", -1))
		second.fires()
		still.fires()
		stillChildren.fires()
	}

	section("an ephemeral's end")
	other.create("/e", "", zk.FlagEphemeral)
	end := c.watchExistence("/e")
	other.Close()
	end.fires()
	c.Close()
}
