"""A disk that is slow for some processes only: a file system of its own on a loop device, and a limit of the kernel's on how many
reads of that device a second a control group may make (blkio.throttle of cgroup v1, io.max of v2). Needs root."""

import os
import shutil
import subprocess

from servers import Trouble, run


def control_groups():
    """(folder of the hierarchy that limits disks, its version); nothing where there is none."""
    with open("/proc/mounts") as f:
        mounts = [line.split()[1:4] for line in f]
    for folder, kind, options in mounts:
        if kind == "cgroup" and "blkio" in options.split(","):
            return folder, 1
    for folder, kind, _ in mounts:
        if kind == "cgroup2":
            with open(os.path.join(folder, "cgroup.subtree_control")) as f:
                if "io" in f.read().split():
                    return folder, 2
    return None, 0


class SlowDisk:
    """`folder` is where it is mounted. Fast until slow() is called. Trouble: it cannot be had here."""

    def __init__(self, place, megabytes=256):
        self.groups, self.version = control_groups()
        missing = [p for p in ("losetup", "mkfs.ext4", "mount") if not shutil.which(p)]
        if os.geteuid() or not self.version or missing:
            raise Trouble("a slow disk needs root, loop devices and control groups that limit disks")
        self.folder, self.image = os.path.join(place, "slow"), os.path.join(place, "slow.img")
        self.group = os.path.join(self.groups, f"bench{os.getpid()}")
        self.device, self.mounted = "", False
        os.mkdir(self.folder)
        with open(self.image, "wb") as f:
            f.truncate(megabytes << 20)
        self.device = run("losetup", "-f", "--show", self.image).strip()
        try:
            run("mkfs.ext4", "-q", "-F", self.device)
            self.mount()
            os.mkdir(self.group)
        except (Trouble, OSError):
            self.close()
            raise

    def mount(self):
        run("mount", self.device, self.folder)
        self.mounted = True

    def make_cold(self):
        """Nothing of it is in the page cache afterwards. Nobody may have a file open."""
        run("umount", self.folder)
        self.mounted = False
        self.mount()

    def _write(self, name, text):
        with open(os.path.join(self.group, name), "w") as f:
            f.write(str(text))

    def hold(self, pids):
        """The limit is for these processes and what they start."""
        for pid in pids:
            self._write("cgroup.procs", pid)

    def slow(self, reads_a_second):
        """0: no limit."""
        with open(f"/sys/block/{os.path.basename(self.device)}/dev") as f:
            number = f.read().strip()
        if self.version == 1:
            self._write("blkio.throttle.read_iops_device", f"{number} {reads_a_second}")
        else:
            self._write("io.max", f"{number} riops={reads_a_second or 'max'}")

    def close(self):
        """Every process on it has ended."""
        if self.mounted:
            subprocess.run(["umount", self.folder])
        if self.device:
            subprocess.run(["losetup", "-d", self.device])
        if os.path.isdir(self.group):
            os.rmdir(self.group)
        os.unlink(self.image)
