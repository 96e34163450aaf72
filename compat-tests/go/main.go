// Command compat drives go-zookeeper through one scenario against one server and prints what it saw:
//
//	compat SCENARIO HOST:PORT
//
// Times and session ids are masked; zxids are printed as they are, since a scenario runs alone on a fresh
// server. A line that starts with "!" is an order to the test that runs the program (see src/client.rs).
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

const patience = 30 * time.Second

// The scenarios, one file each.
var scenarios = map[string]func(){
	"calls":        calls,
	"create_modes": createModes,
	"multi":        multi,
	"watches":      watches,
	"acl_and_auth": aclAndAuth,
	"sessions":     sessions,
	"reconnect":    reconnect,
	"lock":         lock,
	"words":        words,
}

var (
	address string
	orders  = bufio.NewReader(os.Stdin)
	open    = zk.WorldACL(zk.PermAll)
)

func main() {
	if len(os.Args) != 3 || scenarios[os.Args[1]] == nil {
		fail("usage: compat SCENARIO HOST:PORT")
	}
	address = os.Args[2]
	scenarios[os.Args[1]]()
	fmt.Println("end")
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func section(title string) { fmt.Println("==", title) }

func order(what string) {
	fmt.Println("!" + what)
	if _, err := orders.ReadString('\n'); err != nil {
		fail("the test did not carry out %s: %v", what, err)
	}
}

// client is a connection and its session events.
type client struct {
	*zk.Conn
	events <-chan zk.Event
}

func connect(timeout time.Duration) *client {
	conn, events, err := zk.Connect([]string{address}, timeout, zk.WithLogInfo(false))
	if err != nil {
		fail("connect: %v", err)
	}
	c := &client{conn, events}
	c.waitFor(zk.StateHasSession)
	return c
}

// waitFor reads session events until one of the given state.
func (c *client) waitFor(state zk.State) {
	deadline := time.After(patience)
	for {
		select {
		case event, more := <-c.events:
			if !more {
				fail("the client ended while waiting for %v", state)
			}
			if event.Type == zk.EventSession && event.State == state {
				return
			}
		case <-deadline:
			fail("not %v after %v", state, patience)
		}
	}
}

// word is the short form of an error.
func word(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, zk.ErrInvalidFlags):
		return "invalid flags"
	default:
		return strings.TrimPrefix(err.Error(), "zk: ")
	}
}

func say(label string, err error) { fmt.Printf("%s: %s\n", label, word(err)) }

func (c *client) sayStat(stat *zk.Stat) {
	if stat == nil {
		fmt.Println("  stat: none")
		return
	}
	owner := "other"
	switch stat.EphemeralOwner {
	case 0:
		owner = "0"
	case c.SessionID():
		owner = "own"
	}
	fmt.Printf("  stat: czxid=%d mzxid=%d pzxid=%d ctime=%s mtime=%s version=%d cversion=%d aversion=%d owner=%s length=%d children=%d\n",
		stat.Czxid, stat.Mzxid, stat.Pzxid, age(stat.Ctime), age(stat.Mtime), stat.Version, stat.Cversion,
		stat.Aversion, owner, stat.DataLength, stat.NumChildren)
}

func age(ms int64) string {
	age := time.Since(time.UnixMilli(ms))
	switch {
	case ms == 0:
		return "0"
	case age > -5*time.Second && age < 2*time.Minute:
		return "recent"
	default:
		return "absurd"
	}
}

func names(list []string) string {
	sorted := append([]string(nil), list...)
	sort.Strings(sorted)
	return fmt.Sprint(len(list), " ", strings.Join(sorted, " "))
}

func (c *client) create(path string, data string, flags int32) {
	made, err := c.Create(path, []byte(data), flags, open)
	fmt.Printf("create %s (%d): %s %s\n", path, flags, word(err), made)
}

func (c *client) get(path string) {
	data, stat, err := c.Get(path)
	fmt.Printf("get %s: %s %q\n", path, word(err), data)
	if err == nil {
		c.sayStat(stat)
	}
}

func (c *client) set(path, data string, version int32) {
	stat, err := c.Set(path, []byte(data), version)
	fmt.Printf("set %s at %d: %s\n", path, version, word(err))
	if err == nil {
		c.sayStat(stat)
	}
}

func (c *client) exists(path string) {
	found, stat, err := c.Exists(path)
	fmt.Printf("exists %s: %s %v\n", path, word(err), found)
	if err == nil && found {
		c.sayStat(stat)
	}
}

func (c *client) children(path string) {
	list, stat, err := c.Children(path)
	fmt.Printf("children %s: %s %s\n", path, word(err), names(list))
	if err == nil {
		c.sayStat(stat)
	}
}

func (c *client) delete(path string, version int32) {
	fmt.Printf("delete %s at %d: %s\n", path, version, word(c.Delete(path, version)))
}

func (c *client) acl(path string) {
	acl, stat, err := c.GetACL(path)
	fmt.Printf("acl %s: %s", path, word(err))
	for _, entry := range acl {
		fmt.Printf(" %d=%s:%s", entry.Perms, entry.Scheme, entry.ID)
	}
	fmt.Println()
	if err == nil {
		c.sayStat(stat)
	}
}

func (c *client) waitUntilGone(path string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		found, _, err := c.Exists(path)
		if err != nil {
			fail("exists %s: %v", path, err)
		}
		if !found {
			fmt.Println("gone:", path)
			return
		}
		if time.Now().After(deadline) {
			fail("%s is still there after %v", path, patience)
		}
	}
}
