//! What every command says of itself.

use serde_json::Value;

use crate::support::yeoul;

#[test]
fn every_command_explains_itself() {
    let top = yeoul(&["--help"]);
    assert_eq!(top.code, 0);
    let commands = top.out.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let commands: Vec<_> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    for name in
        "demo run apply check test status tap sql dead tables redo topics produce consume groups \
                 doctor schema completions"
            .split_whitespace()
    {
        assert!(commands.contains(&name), "{name} in {commands:?}");
    }
    for name in commands {
        let help = yeoul(&[name, "--help"]);
        assert_eq!((help.code, help.err.as_str()), (0, ""), "{name}");
        assert!(help.out.contains(&format!("Usage: yeoul {name}")), "{name}: {}", help.out);
    }
    assert!(yeoul(&["--version"]).out.starts_with("yeoul "));
}

#[test]
fn shells_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let script = yeoul(&["completions", shell]);
        assert!(script.code == 0 && script.out.contains("yeoul"), "{shell}: {}", script.err);
    }
}

#[test]
fn the_schema_knows_what_the_examples_use() {
    let schema = yeoul(&["schema"]).json();
    let properties = schema["properties"].as_object().unwrap();
    for name in ["movies", "bikes"] {
        let file = format!("{}/../../examples/{name}/pipeline.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&file).unwrap();
        let keys = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
        for key in keys.filter_map(|line| line.split(':').next()) {
            assert!(properties.contains_key(key), "{name}: {key}");
        }
        let check = yeoul(&["check", &file, "--output", "json"]).json();
        assert_eq!(check["warnings"], Value::Array(Vec::new()), "{name}");
        let test = yeoul(&["test", &file]);
        assert_eq!(test.code, 0, "{name}: {}{}", test.out, test.err);
    }
}
