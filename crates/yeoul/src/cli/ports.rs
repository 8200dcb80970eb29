//! Who holds a TCP port: the answer a message about a taken port owes its reader.
#![expect(clippy::disallowed_methods, reason = "reads /proc, not the data directory")]

use std::fs;
use std::io::Read;

/// The listening process's id and name, where the kernel lets us see them.
pub(crate) fn holder(port: u16) -> Option<(u32, String)> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| read(path))
        .find_map(|table| listening_inode(&table, port))?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // Another user's process cannot be looked into; go on with the next.
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = open
            .flatten()
            .filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|target| target.to_str() == Some(&wanted));
        if holds {
            let name = read(&format!("/proc/{pid}/comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Finds the socket in state LISTEN (0A) on the port; columns as in proc(5).
fn listening_inode(table: &str, port: u16) -> Option<String> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace();
        let local = columns.nth(1)?;
        let state = columns.nth(1)?;
        let inode = columns.nth(5)?;
        let (_, hex) = local.rsplit_once(':')?;
        (state == "0A" && u16::from_str_radix(hex, 16).ok()? == port).then(|| inode.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found() -> std::io::Result<()> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        assert_eq!(holder(port).map(|(pid, _)| pid), Some(std::process::id()));
        Ok(())
    }
}
