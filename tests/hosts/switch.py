#!/usr/bin/env python3
"""A network of hosts on one machine: a namespace for each, joined by this switch.

usage: switch.py PREFIX HOSTS

Host n (from 1) is the namespace PREFIXn. It has 10.77.0.n, whose packets take as long, get lost and are cut off as the
commands say, and 10.78.0.n, where nothing happens to them: the way to bitcoind and to the test. Host 0 is the
namespace of whoever starts this; it has 10.78.0.250 only. Commands come on standard input, a line each, and are answered by
a line `ok`:

    delay MS       every packet takes this long
    loss PERCENT   this part of the packets is lost
    cut 1,2 3,4,5  hosts in different groups do not reach each other
    heal           all reach each other

Ends, and takes namespaces and devices away, when standard input ends. Written with TUN devices because a kernel may come
without a queue discipline that delays (tc netem).
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
MTU = 1500
# What may be under way at a time, so that a flood ends as loss and not in memory.
MOST_PACKETS = 50_000


def run(*command):
    subprocess.run(command, check=True)


def open_device(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_NO_PI))
    return device


def ip_in(namespace):
    return ["ip", "-n", namespace] if namespace else ["ip"]


def make_host(prefix, number):
    """The namespace, if it is not ours, and its device."""
    name = f"{prefix}{number}"
    device = open_device(name)
    namespace = name if number else None
    if namespace:
        run("ip", "netns", "add", namespace)
        run("ip", "link", "set", name, "netns", namespace)
        run(*ip_in(namespace), "link", "set", "lo", "up")
        run(*ip_in(namespace), "addr", "add", f"10.77.0.{number}/24", "dev", name)
    run(*ip_in(namespace), "addr", "add", f"10.78.0.{number or 250}/24", "dev", name)
    run(*ip_in(namespace), "link", "set", name, "mtu", str(MTU), "up")
    return device


class Switch:
    def __init__(self, devices):
        self.devices = devices  # by host number
        self.delay = 0.0
        self.loss = 0.0
        self.group = {}
        self.waiting = []
        self.count = 0
        self.random = random.Random(1)

    def command(self, line):
        words = line.split()
        if words[0] == "delay":
            self.delay = float(words[1]) / 1000
        elif words[0] == "loss":
            self.loss = float(words[1]) / 100
        elif words[0] == "cut":
            groups = enumerate(words[1:])
            self.group = {int(host): group for group, hosts in groups for host in hosts.split(",")}
        elif words[0] == "heal":
            self.group = {}
        else:
            raise ValueError(line)

    def take(self, source, packet):
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return
        network, target = packet[16:19], packet[19]
        if network == bytes([10, 78, 0]):
            self.give(0 if target == 250 else target, packet)
        elif network == bytes([10, 77, 0]):
            apart = self.group.get(source, 0) != self.group.get(target, 0)
            if not apart and self.random.random() >= self.loss and len(self.waiting) < MOST_PACKETS:
                self.count += 1
                heapq.heappush(self.waiting, (time.monotonic() + self.delay, self.count, target, packet))

    def give(self, target, packet):
        if target in self.devices:
            try:
                os.write(self.devices[target], packet)
            except OSError:
                pass  # its queue is full, or it is down: lost

    def run(self):
        sources = {device: number for number, device in self.devices.items()}
        commands = b""
        while True:
            now = time.monotonic()
            while self.waiting and self.waiting[0][0] <= now:
                _, _, target, packet = heapq.heappop(self.waiting)
                self.give(target, packet)
            patience = max(0.0, self.waiting[0][0] - now) if self.waiting else None
            ready, _, _ = select.select([0, *sources], [], [], patience)
            for source in ready:
                if source == 0:
                    more = os.read(0, 4096)
                    if not more:
                        return
                    *lines, commands = (commands + more).split(b"\n")
                    for line in lines:
                        self.command(line.decode())
                        print("ok", flush=True)
                    continue
                for _ in range(64):
                    try:
                        self.take(sources[source], os.read(source, MTU))
                    except OSError:
                        break


def main():
    prefix, count = sys.argv[1], int(sys.argv[2])
    made = {}
    try:
        for number in range(count + 1):
            made[number] = make_host(prefix, number)
        print("ok", flush=True)
        Switch(made).run()
    finally:
        for number in range(1, count + 1):
            subprocess.run(["ip", "netns", "del", f"{prefix}{number}"], stderr=subprocess.DEVNULL)


main()
