#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A PCI function with what no device of QEMU has, served to QEMU's vfio-user-pci.

usage: function-r.py SOCKET

Config space of the reference function R: VPD, Advanced Features, capabilities
that vfio-pci hides, AER, serial number, PASID, DVSEC, power budgeting; every
register bit that the specifications have works, all vendor-specific ones too.
BARs are there, with nothing in them. A write to the byte at d4 raises in all
registers those status bits that it has ones at. Serves one client, then ends.
"""
import json
import socket
import struct
import sys

SIZE = 4096
RAISE = 0xd4
VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, REGION_INFO, REGION_FDS, IRQ_INFO, SET_IRQS, READ, WRITE = \
    range(1, 11)
RESET, WRITE_MULTI = 13, 15
CONFIG = 7
# Regions 0 to 8: size, flags (1 read, 2 write).
REGIONS = {0: (64 << 10, 3), 2: (64, 3), 3: (4 << 10, 3), CONFIG: (SIZE, 3)}
IRQS = [1, 8, 16, 1, 1]


class Function:
    def __init__(self):
        self.value, self.writable, self.w1c = bytearray(SIZE), bytearray(SIZE), bytearray(SIZE)
        self.vpd = bytearray(bytes.fromhex('8204004142434478') + bytes(56))
        self.header()
        self.capabilities()
        self.extended()
        self.initial = bytes(self.value)

    def reg(self, pos, width, value, writable=0, w1c=0):
        for array, bits in ((self.value, value), (self.writable, writable), (self.w1c, w1c)):
            array[pos:pos + width] = bits.to_bytes(width, 'little')

    def header(self):
        self.reg(0x00, 4, 0x10f01af4)
        self.reg(0x04, 2, 0, 0x0547)
        self.reg(0x06, 2, 0x0010, 0, 0xf900)
        self.reg(0x08, 4, 0x02000001)
        self.reg(0x0c, 2, 0, 0xffff)
        self.reg(0x10, 4, 0xc, 0xffff0000)
        self.reg(0x14, 4, 0, 0xffffffff)
        self.reg(0x18, 4, 0x1, 0xffffffc0)
        self.reg(0x1c, 4, 0, 0xfffff000)
        self.reg(0x2c, 4, 0x11001af4)
        self.reg(0x34, 1, 0x40)
        self.reg(0x3c, 2, 0x0100, 0xff)

    def capabilities(self):
        self.reg(0x40, 4, 0xce035001)                   # PM, D1 and D2, no soft reset
        self.reg(0x44, 4, 0x0008, 0x1e03, 0x8000)
        self.reg(0x50, 4, 0x01867005, 0x710000)         # MSI: 8 vectors, 64 bits, maskable
        self.reg(0x54, 8, 0, 0xfffffffffffffffc)
        self.reg(0x5c, 2, 0, 0xffff)
        self.reg(0x60, 4, 0, 0xff)
        self.reg(0x70, 4, 0x0002b010)                   # PCI Express 2, endpoint, FLR
        self.reg(0x74, 4, 0x10008fe2)
        self.reg(0x78, 4, 0x00002810, 0x7fff, 0x000f0000)
        self.reg(0x7c, 4, 0x00000011)
        self.reg(0x80, 4, 0x00110000, 0x0fff)
        self.reg(0x98, 4, 0, 0xffff)
        self.reg(0x9c, 4, 0x2)
        self.reg(0xb0, 4, 0x000fc011, 0xc0000000)       # MSI-X: 16 vectors
        self.reg(0xb4, 8, 0x0000300000002000)
        self.reg(0xc0, 4, 0x0000d003, 0xffff0000)       # VPD
        self.reg(0xc4, 4, 0, 0xffffffff)
        self.reg(0xd0, 4, 0x0010e009, 0xff000000)       # vendor-specific, 16 bytes
        self.reg(0xd4, 12, 0x0123456789abcdef55aa1234, (1 << 96) - 1)
        self.reg(0xe0, 4, 0x0000e804, 0x00ff0000)       # Slot ID
        self.reg(0xe8, 4, 0x03060013)                   # Advanced Features
        self.reg(0xf0, 16, 0, (1 << 128) - 1)           # nobody's

    def extended(self):
        self.reg(0x100, 4, 0x14820001)                  # AER
        every = 0x03fff031
        self.reg(0x104, 4, 0, 0, every)
        self.reg(0x108, 4, 0x00400000, every)
        self.reg(0x10c, 4, 0x00462030, every)
        self.reg(0x110, 4, 0, 0, 0xf1c1)
        self.reg(0x114, 4, 0xe000, 0xf1c1)
        self.reg(0x118, 4, 0xa0, 0x140)
        self.reg(0x148, 4, 0x15810003)                  # serial number
        self.reg(0x14c, 8, 0x1122334455667788)
        self.reg(0x158, 4, 0x1601001b)                  # PASID
        self.reg(0x15c, 4, 0x1406, 0x00070000)
        self.reg(0x160, 4, 0x17810023)                  # DVSEC, 24 bytes
        self.reg(0x164, 4, 0x01801af4)
        self.reg(0x168, 16, 0x00112233445566778899aabb0000beef, (1 << 128) - 1)
        self.reg(0x178, 4, 0x00010004)                  # power budgeting
        self.reg(0x17c, 4, 0, 0xff)
        self.reg(0x180, 8, 0x000000000000001f)
        self.reg(0x800, 64, 0, (1 << 512) - 1)          # nobody's

    def write(self, pos, data):
        for i, byte in enumerate(data, pos):
            self.value[i] = self.value[i] & ~self.writable[i] & 0xff | byte & self.writable[i]
            self.value[i] &= ~(byte & self.w1c[i]) & 0xff
        if pos <= RAISE < pos + len(data):
            for i in range(SIZE):
                self.value[i] |= self.w1c[i] & data[RAISE - pos]
        if pos <= 0xc3 < pos + len(data):
            self.transfer_vpd()

    def transfer_vpd(self):
        address = int.from_bytes(self.value[0xc2:0xc4], 'little')
        at, to_write = address & 0x7fff, address & 0x8000
        if at + 4 > len(self.vpd):
            return
        if to_write:
            self.vpd[at:at + 4] = self.value[0xc4:0xc8]
        else:
            self.value[0xc4:0xc8] = self.vpd[at:at + 4]
        self.value[0xc3] ^= 0x80

    def reset(self):
        keep = self.value[0x10:0x28]
        self.value[:] = self.initial
        self.value[0x10:0x28] = keep


def serve(peer, function):
    def take(n):
        data = b''
        while len(data) < n:
            more = peer.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def access(region, offset, count, data=None):
        if region != CONFIG:
            return bytes(count)
        if data is None:
            return bytes(function.value[offset:offset + count])
        function.write(offset, data)
        if offset <= 0x79 < offset + count and data[0x79 - offset] & 0x80:
            function.reset()
        return b''

    def answer(command, body):
        if command == VERSION:
            return struct.pack('<HH', 0, 0) + json.dumps(
                {'capabilities': {'max_msg_fds': 8, 'max_data_xfer_size': 1 << 20,
                                  'pgsizes': 4096}}).encode() + b'\0'
        if command == GET_INFO:
            return struct.pack('<IIII', 16, 3, 9, 5)
        if command == REGION_INFO:
            index = struct.unpack_from('<I', body, 8)[0]
            size, flags = REGIONS.get(index, (0, 0))
            return struct.pack('<IIIIQQ', 32, flags, index, 0, size, 0)
        if command == IRQ_INFO:
            index = struct.unpack_from('<I', body, 8)[0]
            return struct.pack('<IIII', 16, 1, index, IRQS[index] if index < 5 else 0)
        if command in (READ, WRITE):
            offset, region, count = struct.unpack_from('<QII', body)
            data = body[16:16 + count] if command == WRITE else None
            return struct.pack('<QII', offset, region, count) + access(region, offset, count, data)
        if command == WRITE_MULTI:
            at = 8
            for _ in range(struct.unpack_from('<Q', body)[0]):
                offset, region, count = struct.unpack_from('<QII', body, at)
                access(region, offset, count, body[at + 16:at + 16 + count])
                at += 24
            return body[:8]
        if command == RESET:
            function.reset()
            return b''
        if command in (DMA_MAP, DMA_UNMAP):
            return body[:24]
        return b'' if command == SET_IRQS else None

    while True:
        ident, command, size, flags, _ = struct.unpack('<HHIII', take(16))
        out = answer(command, take(size - 16))
        if flags & 0x10:
            continue
        if out is None:
            peer.sendall(struct.pack('<HHIII', ident, command, 16, 0x21, 22))
        else:
            peer.sendall(struct.pack('<HHIII', ident, command, 16 + len(out), 1, 0) + out)


def main():
    door = socket.socket(socket.AF_UNIX)
    door.bind(sys.argv[1])
    door.listen(1)
    peer, _ = door.accept()
    try:
        serve(peer, Function())
    except EOFError:
        pass


if __name__ == '__main__':
    main()
