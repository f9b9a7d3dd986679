"""Images from a registry into containerd, ready to run: fetched, verified, unpacked, named, and kept from collection.

All by the client and containerd's content, diff, snapshot, lease and image services, so that it works on every version
from 1.6 on. `Puller` brings an image, `LocalImages` finds one that is there.
"""
