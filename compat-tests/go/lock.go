package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// lock runs the library's lock recipe among several sessions.
func lock() {
	const holders, rounds = 5, 4
	section("a counter guarded by a lock")
	setup := connect(20 * time.Second)
	setup.create("/locks", "", 0)
	counter, busy := 0, false
	var guard sync.Mutex
	var all sync.WaitGroup
	for i := 0; i < holders; i++ {
		c := connect(20 * time.Second)
		all.Add(1)
		go func() {
			defer all.Done()
			defer c.Close()
			mine := zk.NewLock(c.Conn, "/locks/counter", open)
			for round := 0; round < rounds; round++ {
				if err := mine.Lock(); err != nil {
					fail("lock: %v", err)
				}
				guard.Lock()
				if busy {
					fail("two hold the lock")
				}
				busy = true
				guard.Unlock()
				counter++
				time.Sleep(time.Millisecond)
				guard.Lock()
				busy = false
				guard.Unlock()
				if err := mine.Unlock(); err != nil {
					fail("unlock: %v", err)
				}
			}
		}()
	}
	all.Wait()
	fmt.Println("counted:", counter)

	section("one lock")
	mine := zk.NewLock(setup.Conn, "/locks/one", open)
	say("unlock before", mine.Unlock())
	say("lock", mine.LockWithData([]byte("mine")))
	say("lock again", mine.Lock())
	list, _, err := setup.Children("/locks/one")
	fmt.Println("held by:", word(err), len(list), strings.HasPrefix(list[0], "_c_"), list[0][len(list[0])-15:])
	data, _, err := setup.Get("/locks/one/" + list[0])
	fmt.Printf("its data: %s %q\n", word(err), data)
	say("unlock", mine.Unlock())
	list, _, err = setup.Children("/locks/one")
	fmt.Println("left:", word(err), names(list))
	setup.Close()
}
