//! How much memory and disk is free.
//!
//! Above: `cache`, `recipes`. Below: `rustix`. Not here: who may use how much of it (`recipes`).

use std::path::Path;

/// Bytes of memory that programs could still have: what the system calls available, and no more than this program's control groups leave;
/// none where the system does not tell.
#[must_use]
pub fn free_memory() -> Option<u64> {
    let of_system = available(&read(Path::new("/proc/meminfo"))?)?;
    let own = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let of_groups = of_groups(Path::new("/sys/fs/cgroup"), &own);
    Some(of_groups.map_or(of_system, |of_groups| of_system.min(of_groups)))
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The files of a control group in which its limit, its use, and how much of that is copies of files are, and how its line of
/// `/proc/self/cgroup` goes on behind its number.
struct Version {
    controller: &'static str,
    folder: &'static str,
    limit: &'static str,
    used: &'static str,
    copies: &'static str,
}

/// Source: the kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst`.
const VERSIONS: [Version; 2] = [
    Version {
        controller: "",
        folder: "",
        limit: "memory.max",
        used: "memory.current",
        copies: "inactive_file ",
    },
    Version {
        controller: "memory",
        folder: "memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        copies: "total_inactive_file ",
    },
];

/// The least that is left of the groups that `own` names and those above them; none where none has a limit.
fn of_groups(root: &Path, own: &str) -> Option<u64> {
    let named = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?.trim_start_matches('/')))
    });
    let of_group = |(controllers, path): (&str, &str)| {
        let is_its = |version: &&Version| controllers.split(',').any(|it| it == version.controller);
        let version = VERSIONS.iter().find(is_its)?;
        let root = root.join(version.folder);
        let groups = root.join(path);
        // In a container the path may be that outside of it; then the root is the container's.
        let groups = groups.ancestors().take_while(|group| group.starts_with(&root));
        groups.filter_map(|group| version.left(group)).min()
    };
    named.filter_map(of_group).min()
}

impl Version {
    /// What a group has left: its limit less what it uses, of which copies of files do not count; none where it has no limit.
    fn left(&self, group: &Path) -> Option<u64> {
        let limit: u64 = read(&group.join(self.limit))?.trim().parse().ok()?; // `max`: none
        let used: u64 = read(&group.join(self.used))?.trim().parse().ok()?;
        let stat = read(&group.join("memory.stat")).unwrap_or_default();
        let copies = stat.lines().find_map(|line| line.strip_prefix(self.copies));
        let copies = copies.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(copies)))
    }
}

/// `MemAvailable` of `/proc/meminfo`, bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Bytes of disk that are free for a folder, or, where it is not there, for the nearest one above it; none where the system does not tell.
#[cfg(all(unix, feature = "disk-cache"))]
#[must_use]
pub fn free_disk(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.is_dir());
    let here = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let system = rustix::fs::statvfs(here).ok()?;
    system.f_bavail.checked_mul(system.f_frsize)
}

/// Bytes of disk that are free for a folder: this system does not tell.
#[cfg(not(all(unix, feature = "disk-cache")))]
#[must_use]
pub fn free_disk(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::{available, of_groups};

    #[test]
    fn what_the_system_says_is_understood() {
        let meminfo =
            "MemTotal:       24607760 kB\nMemFree:         1000 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(available(meminfo), Some(20_000_000 * 1024));
        assert_eq!(available("MemTotal: 5 kB\n"), None);
        assert_eq!(available("MemAvailable: many kB\n"), None);
    }

    /// Groups as files, each with a limit, a use and copies of files.
    fn groups(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn a_control_group_leaves_its_limit_less_what_it_uses_and_those_above_theirs() {
        let dir = groups(&[
            ("a/b/memory.max", "1000\n"),
            ("a/b/memory.current", "700\n"),
            ("a/b/memory.stat", "anon 500\ninactive_file 200\n"),
            ("a/memory.max", "1200\n"),
            ("a/memory.current", "1000\n"),
            ("c/memory.max", "max\n"),
            ("c/memory.current", "700\n"),
            ("d/memory.max", "1000\n"),
            ("d/memory.current", "1700\n"),
        ]);
        let left = |own: &str| of_groups(dir.path(), own);
        assert_eq!(left("0::/a/b\n"), Some(200));
        assert_eq!(left("0::/c\n"), None);
        assert_eq!(left("0::/d\n"), Some(0));
        assert_eq!(left("0::/\n"), None);
        assert_eq!(left("nothing of it"), None);
    }

    #[test]
    fn groups_of_version_1_are_seen_too_also_from_within_a_container() {
        let dir = groups(&[
            ("memory/memory.limit_in_bytes", "4096\n"),
            ("memory/memory.usage_in_bytes", "1096\n"),
            ("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 96\n"),
        ]);
        let own = "12:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/\n";
        assert_eq!(of_groups(dir.path(), own), Some(3096));
    }
}
