//! How many files and sockets the process may have open. Connections and the log draw from the
//! same number; who takes sockets must leave the log its share, because the log cannot wait.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, which every process may do, and tells what it is now;
/// `u64::MAX` without a limit. Changes the whole process.
pub fn raise_open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_is_raised_once_and_stays() {
        let first = super::raise_open_files();
        assert!(first > 3, "stdin, stdout and stderr are open");
        assert_eq!(super::raise_open_files(), first);
    }
}
