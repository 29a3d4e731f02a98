//! Descriptions that nobody built.
//!
//! Above: `cargo test`. Below: `json`, `builder`. Not here: that every zoo network survives JSON (`taper-zoo`).

use serde_json::{Value, json};

use super::small;
use crate::{Error, Graph, Op, ResizeTo};

/// The description of `small` after a change.
fn changed(change: impl FnOnce(&mut Value)) -> crate::Result<Graph> {
    let mut value: Value = serde_json::from_str(&small().to_json()).unwrap();
    change(&mut value);
    Graph::from_json(&value.to_string())
}

fn message(change: impl FnOnce(&mut Value)) -> String {
    changed(change).unwrap_err().to_string()
}

#[test]
fn a_network_survives_json_and_equal_networks_give_equal_text() {
    let graph = small();
    let text = graph.to_json();
    assert_eq!(Graph::from_json(&text).unwrap(), graph);
    assert_eq!(Graph::from_json(&text).unwrap().to_json(), text);
    let nested: Vec<Graph> = serde_json::from_str(&format!("[{text}]")).unwrap();
    assert_eq!(nested, [graph]);
}

#[test]
fn another_version_is_refused_before_anything_else() {
    let refused = changed(|value| value["format"] = json!(2));
    assert!(matches!(refused, Err(Error::Format { got: 2, expected: 1 })));
}

#[test]
fn forward_references_and_cycles_cannot_be_read() {
    assert!(
        message(|value| value["nodes"][1]["inputs"] = json!([1]))
            .contains("only 1 nodes stand before it")
    );
    assert!(
        message(|value| value["nodes"][1]["inputs"] = json!([4_000_000_000u32]))
            .contains("only 1 nodes")
    );
    assert!(changed(|value| value["nodes"][1]["inputs"] = json!([-1])).is_err());
}

#[test]
fn parameters_must_be_what_the_operation_says() {
    let text = message(|value| value["params"][0]["shape"] = json!([8, 3, 3, 4]));
    assert_eq!(
        text,
        "shape of parameter `conv_stem.weight` is [8, 3, 3, 4], its node's operation says [8, 3, 3, 3]"
    );
    assert!(message(|value| value["params"][0]["role"] = json!("bias")).starts_with("role of"));
    assert!(message(|value| value["params"][0]["axes"][0] = json!("fixed")).starts_with("axes of"));
    assert!(
        message(|value| value["nodes"][1]["params"] = json!([])).contains("lists 0 parameters")
    );
    assert!(
        message(|value| value["nodes"][1]["params"] = json!([0, 0, 0]))
            .contains("lists 3 parameters")
    );
    assert!(message(|value| value["nodes"][1]["params"] = json!([1])).starts_with("shape of"));
    assert!(message(|value| value["nodes"][1]["params"] = json!([999])).contains("build order"));
    let swap = |value: &mut Value| value["params"].as_array_mut().unwrap().swap(2, 3);
    assert!(message(swap).starts_with("role of"));
    let copy = |value: &mut Value| {
        let mut extra = value["params"][0].clone();
        extra["name"] = json!("extra");
        value["params"].as_array_mut().unwrap().push(extra);
    };
    assert_eq!(message(copy), "parameter `extra` belongs to no node");
}

#[test]
fn names_of_parameters_are_unique() {
    let text = message(|value| value["params"][1]["name"] = json!("conv_stem.weight"));
    assert_eq!(text, "there are two parameters named `conv_stem.weight`");
}

#[test]
fn huge_numbers_are_refused_without_being_used() {
    let channels = |n: u64| changed(|value| value["nodes"][1]["op"]["conv"]["out"] = json!(n));
    for n in [0, 1 << 21, u64::MAX] {
        assert!(channels(n).is_err(), "{n}");
    }
    for key in ["kernel", "stride", "dilation"] {
        let window = |n: u64| {
            changed(|value| value["nodes"][1]["op"]["conv"]["window"][key] = json!([n, n]))
        };
        assert!(window(0).is_err() && window(u64::MAX).is_err(), "{key}");
    }
    let input = changed(|value| value["nodes"][0]["op"]["input"]["channels"] = json!(1u64 << 20));
    assert!(input.is_err());
}

#[test]
fn unknown_operations_fields_and_texts_are_refused() {
    assert!(changed(|value| value["nodes"][1]["op"] = json!({"exec": "rm"})).is_err());
    assert!(changed(|value| value["nodes"][1]["extra"] = json!(1)).is_err());
    assert!(changed(|value| value["extra"] = json!(1)).is_err());
    for text in ["", "null", "[]", "{}", "{\"format\":1}", &"[".repeat(100_000), "\u{0}"] {
        assert!(matches!(Graph::from_json(text), Err(Error::Json { .. })), "{text:.20}");
    }
}

#[test]
fn the_input_is_the_first_node_and_the_only_one() {
    assert!(changed(|value| value["nodes"] = json!([])).is_err());
    let second = |value: &mut Value| {
        value["nodes"][1] = json!({"name": "again", "op": {"input": {"channels": 8}}});
    };
    assert!(message(second).contains("the input is node 0"));
}

#[test]
fn outputs_must_exist() {
    assert!(
        message(|value| value["outputs"]["logits"] = json!(10_000))
            .starts_with("output `logits` is node")
    );
    assert!(matches!(changed(|value| value["outputs"] = json!({})), Err(Error::NoOutputs)));
}

#[test]
fn scopes_must_nest() {
    let scope = |name: &str, start: usize, end: usize| json!({"name": name, "kind": "stage", "nodes": [start, end]});
    let with = |scopes: Value| changed(move |value| value["scopes"] = scopes);
    assert!(with(json!([scope("a", 0, 6), scope("b", 2, 4), scope("c", 4, 6)])).is_ok());
    assert!(with(json!([scope("a", 0, 3), scope("b", 2, 4)])).is_err());
    assert!(with(json!([scope("a", 2, 4), scope("b", 0, 6)])).is_err());
    assert!(with(json!([scope("a", 2, 2)])).is_err());
    assert!(with(json!([scope("a", 3, 2)])).is_err());
    assert!(with(json!([scope("a", 0, 10_000)])).is_err());
    assert!(with(json!([scope("a", 0, 2), scope("a", 2, 4)])).is_err());
}

#[test]
fn parameters_can_be_shared() {
    let text = r#"{"format": 1, "nodes": [
        {"name": "input", "op": {"input": {"channels": 4}}},
        {"name": "pool", "op": {"global_pool": {"kind": "avg", "squeeze": true}}, "inputs": [0]},
        {"name": "a", "op": {"linear": {"out": 4}}, "inputs": [1], "params": [0]},
        {"name": "b", "op": {"linear": {"out": 4}}, "inputs": [2], "params": [0]}],
      "params": [{"name": "w", "shape": [4, 4], "dtype": "f32", "role": "weight",
        "axes": ["out", {"in": {"input": 0, "block": 1, "groups": 1}}], "init": "kaiming_fan_out"}],
      "outputs": {"y": 3}}"#;
    let graph = Graph::from_json(text).unwrap();
    assert_eq!(graph.params().len(), 1);
    assert_eq!(Graph::from_json(&graph.to_json()).unwrap(), graph);
    assert!(Graph::from_json(&text.replace("\"out\": 4", "\"out\": 3")).is_err());
}

#[test]
fn a_resize_written_before_there_were_factors_is_read_as_its_size() {
    let text = |out: &str, inputs: &str| {
        format!(
            r#"{{"format": 1, "nodes": [{{"name": "input", "op": {{"input": {{"channels": 3}}}}}}, {{"name": "up",
            "op": {{"resize": {{"out": {out}, "mode": "bilinear"}}}}, "inputs": {inputs}}}], "params": [], "outputs": {{"y": 1}}}}"#
        )
    };
    let read = |out: &str, inputs: &str| Graph::from_json(&text(out, inputs));
    for (out, inputs, expected) in [
        ("[7, 9]", "[0]", ResizeTo::Size([7, 9])),
        (r#"{"factor": [2.0, 1.5]}"#, "[0]", ResizeTo::Factor([2.0, 1.5])),
        (r#""like""#, "[0, 0]", ResizeTo::Like),
    ] {
        let graph = read(out, inputs).unwrap();
        let node = graph.node(graph.output("y").unwrap());
        let mode = crate::ResizeMode::Bilinear;
        assert_eq!(*node.op(), Op::Resize { out: expected, mode });
        assert_eq!(Graph::from_json(&graph.to_json()).unwrap(), graph);
        // What there was is written as it was, so that older readers understand it.
        assert!(graph.to_json().contains(&format!(r#""out":{}"#, out.replace(' ', ""))), "{out}");
    }
    for (out, inputs) in [
        ("[7]", "[0]"),
        ("[7, -1]", "[0]"),
        (r#"{"factor": [2.0, 1.5], "like": 1}"#, "[0]"),
        (r#""unlike""#, "[0, 0]"),
        (r#"{"factor": [1e300, 1.0]}"#, "[0]"),
    ] {
        assert!(read(out, inputs).is_err(), "{out}");
    }
}

#[test]
fn an_adaptive_pool_written_before_it_could_keep_an_axis_is_read_and_written_as_it_was() {
    let op = r#"{"adaptive_pool":{"kind":"avg","out":[3,2]}}"#;
    let read: Op = serde_json::from_str(op).unwrap();
    let kind = crate::PoolKind::Avg;
    assert_eq!(read, Op::AdaptivePool { kind, out: [3, 2], at_least: false });
    assert_eq!(serde_json::to_string(&read).unwrap(), op);
}
