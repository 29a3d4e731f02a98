//! How much memory and disk is free.
//!
//! Above: `cache`, `recipes`. Below: `rustix`. Not here: who may use how much of it (`recipes`).

use std::path::Path;

/// Bytes of memory that programs could still have: what the system calls available, and no more than this program's control groups leave;
/// none where the system does not tell.
#[must_use]
pub fn free_memory() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let of_system = available(&read(Path::new("/proc/meminfo"))?)?;
    let root = Path::new("/sys/fs/cgroup");
    let own = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let group = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let of_groups = root
        .join(group)
        .ancestors()
        .take_while(|group| group.starts_with(root))
        .filter_map(|group| {
            let file = |name: &str| read(&group.join(name));
            left(
                &file("memory.max")?,
                &file("memory.current")?,
                &file("memory.stat").unwrap_or_default(),
            )
        })
        .min();
    Some(of_groups.map_or(of_system, |of_groups| of_system.min(of_groups)))
}

/// `MemAvailable` of `/proc/meminfo`, bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What a control group has left: its limit less what it uses, of which copies of files do not count; none where it has no limit.
fn left(max: &str, current: &str, stat: &str) -> Option<u64> {
    let limit: u64 = max.trim().parse().ok()?; // `max`: none
    let used: u64 = current.trim().parse().ok()?;
    let copies = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let copies = copies.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(copies)))
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
    use super::{available, left};

    #[test]
    fn what_the_system_says_is_understood() {
        let meminfo =
            "MemTotal:       24607760 kB\nMemFree:         1000 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(available(meminfo), Some(20_000_000 * 1024));
        assert_eq!(available("MemTotal: 5 kB\n"), None);
        assert_eq!(available("MemAvailable: many kB\n"), None);
    }

    #[test]
    fn a_control_group_leaves_its_limit_less_what_it_uses() {
        assert_eq!(left("1000\n", "700\n", "anon 500\ninactive_file 200\n"), Some(500));
        assert_eq!(left("1000\n", "1700\n", ""), Some(0));
        assert_eq!(left("max\n", "700\n", ""), None);
    }
}
