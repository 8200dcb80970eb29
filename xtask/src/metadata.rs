//! `cargo metadata`, read into the few things the checks ask: who our crates are, what they
//! depend on directly, and everything below a crate. A test may stand on a crate that its own may
//! not depend on, but not on a heavy one: building the tests of a light crate must stay quick.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::repo::Repo;

/// One package of the dependency graph.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// SPDX expression of the manifest, if it has one.
    pub(crate) license: Option<String>,
    /// Where it comes from; `None` for a crate of this tree.
    pub(crate) source: Option<String>,
    /// Path of its manifest, for findings about our own crates.
    pub(crate) manifest: String,
}

/// A dependency from one package to another.
struct Edge {
    to: String,
    only_dev: bool,
}

/// The resolved graph, by package id.
pub(crate) struct Graph {
    pub(crate) packages: BTreeMap<String, Package>,
    edges: BTreeMap<String, Vec<Edge>>,
    members: BTreeSet<String>,
}

impl Graph {
    /// Asks cargo, with the lock file as it is committed.
    pub(crate) fn load(repo: &Repo) -> Result<Self, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = std::process::Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(&repo.root)
            .output()
            .map_err(|e| format!("cargo metadata: {e}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("cargo metadata --locked: {}", said.trim()));
        }
        let all: Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("cargo metadata printed no JSON: {e}"))?;
        Ok(Self::from_json(&all))
    }

    /// From what `cargo metadata` prints.
    pub(crate) fn from_json(all: &Value) -> Self {
        let mut packages = BTreeMap::new();
        for package in list(&all["packages"]) {
            packages.insert(
                text(&package["id"]),
                Package {
                    name: text(&package["name"]),
                    version: text(&package["version"]),
                    license: package["license"].as_str().map(str::to_owned),
                    source: package["source"].as_str().map(str::to_owned),
                    manifest: text(&package["manifest_path"]),
                },
            );
        }
        let mut edges = BTreeMap::new();
        for node in list(&all["resolve"]["nodes"]) {
            let below = list(&node["deps"]).iter().map(edge).collect();
            edges.insert(text(&node["id"]), below);
        }
        let members = list(&all["workspace_members"]).iter().map(text).collect();
        Self { packages, edges, members }
    }

    /// Our own crates, as (id, package), in the order of their ids.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&String, &Package)> {
        self.members.iter().filter_map(|id| Some((id, self.packages.get(id)?)))
    }

    /// What a package depends on directly, its tests left out: a test may stand on anything that
    /// [`Graph::below`] does not forbid.
    pub(crate) fn direct(&self, id: &str) -> impl Iterator<Item = &Package> {
        let below = self.edges.get(id).map_or(&[][..], Vec::as_slice);
        below.iter().filter(|edge| !edge.only_dev).filter_map(|edge| self.packages.get(&edge.to))
    }

    /// Everything below a package, as id → the id it was first reached from. Tests of the package
    /// itself count; tests of what it depends on are never built and do not.
    pub(crate) fn below(&self, id: &str, with_dev: bool) -> BTreeMap<String, String> {
        let mut reached: BTreeMap<String, String> = BTreeMap::new();
        let mut open = vec![id.to_owned()];
        while let Some(from) = open.pop() {
            for edge in self.edges.get(&from).map_or(&[][..], Vec::as_slice) {
                let skipped = edge.only_dev && !(with_dev && from == id);
                if skipped || edge.to == id || reached.contains_key(&edge.to) {
                    continue;
                }
                reached.insert(edge.to.clone(), from.clone());
                open.push(edge.to.clone());
            }
        }
        reached
    }

    /// The way down to a package as names, for a message: `a → b → c`.
    pub(crate) fn way(&self, reached: &BTreeMap<String, String>, to: &str) -> String {
        let name = |id: &str| self.packages.get(id).map_or("?", |p| p.name.as_str());
        let mut names = vec![name(to)];
        let mut at = to;
        while let Some(from) = reached.get(at) {
            names.push(name(from));
            at = from;
        }
        names.reverse();
        names.join(" → ")
    }
}

fn edge(dependency: &Value) -> Edge {
    let kinds = list(&dependency["dep_kinds"]);
    Edge {
        to: text(&dependency["pkg"]),
        only_dev: !kinds.is_empty() && kinds.iter().all(|kind| kind["kind"] == "dev"),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
