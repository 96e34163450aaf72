package main

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// cuttable dials as long as it is not cut; cutting closes what is open.
type cuttable struct {
	lock sync.Mutex
	cut  bool
	open net.Conn
}

func (d *cuttable) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.cut {
		return nil, errors.New("cut by the test")
	}
	conn, err := net.DialTimeout(network, address, timeout)
	d.open = conn
	return conn, err
}

func (d *cuttable) set(cut bool) {
	d.lock.Lock()
	defer d.lock.Unlock()
	d.cut = cut
	if cut && d.open != nil {
		d.open.Close()
	}
}

// sessions loses connections for a while shorter and longer than the session's timeout.
func sessions() {
	observer := connect(20 * time.Second)

	wire := &cuttable{}
	conn, events, err := zk.Connect([]string{address}, 4*time.Second, zk.WithDialer(wire.dial), zk.WithLogInfo(false))
	if err != nil {
		fail("connect: %v", err)
	}
	c := &client{conn, events}
	c.waitFor(zk.StateHasSession)
	first := c.SessionID()
	c.create("/e", "", zk.FlagEphemeral)
	c.create("/w", "", 0)

	section("a short loss")
	data := c.watchData("/w")
	wire.set(true)
	c.waitFor(zk.StateDisconnected)
	observer.set("/w", "changed meanwhile", -1)
	wire.set(false)
	c.waitFor(zk.StateHasSession)
	fmt.Println("same session:", c.SessionID() == first)
	// The change is told although nobody was connected when it happened.
	data.fires()
	c.exists("/e")

	section("every watch is told what it missed")
	watched := []armed{c.watchData("/w"), c.watchExistence("/w/new"), c.watchChildren("/w"), c.watchExistence("/w"),
		c.watchChildren("/")}
	observer.create("/w/old", "", 0)
	watched[2].fires()
	watched = append(watched, c.watchData("/w/old"), c.watchChildren("/w/old"))
	wire.set(true)
	c.waitFor(zk.StateDisconnected)
	observer.create("/w/new", "", 0)
	observer.delete("/w/old", -1)
	wire.set(false)
	c.waitFor(zk.StateHasSession)
	for _, i := range []int{1, 5, 6} {
		watched[i].fires()
	}
	c.roundTrip()
	for _, i := range []int{0, 3, 4} {
		watched[i].silent()
	}

	section("a long loss")
	end := observer.watchExistence("/e")
	wire.set(true)
	c.waitFor(zk.StateDisconnected)
	end.fires()
	observer.children("/")
	wire.set(false)
	c.waitFor(zk.StateExpired)
	c.waitFor(zk.StateHasSession)
	fmt.Println("another session:", c.SessionID() != first)
	c.exists("/e")
	c.Close()
	observer.Close()
}
