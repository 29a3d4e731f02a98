//! Blocks that go: the network without one is the network whose branch gives zeros.

use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, NodeId, PoolKind, ScopeKind};

use super::{remove_block, residual_blocks};
use crate::cut::networks::{logits, model};

fn block(b: &mut GraphBuilder, name: &str, xs: NodeId, activated: bool) -> NodeId {
    let made = b.scope(ScopeKind::Block, name, |b| {
        let c = b.channels(xs);
        let ys = b.conv(&format!("{name}.expand"), xs, Conv::pointwise(2 * c), Bias::Without)?;
        let ys = b.batch_norm(&format!("{name}.bn1"), ys, 1e-3, 0.1)?;
        let ys = b.activation(&format!("{name}.act"), ys, Activation::HardSwish)?;
        let ys = b.conv(&format!("{name}.project"), ys, Conv::pointwise(c), Bias::Without)?;
        let ys = b.batch_norm(&format!("{name}.bn2"), ys, 1e-3, 0.1)?;
        let sum = b.add(&format!("{name}.add"), ys, xs)?;
        if activated {
            b.activation(&format!("{name}.out"), sum, Activation::Relu)
        } else {
            Ok(sum)
        }
    });
    made.unwrap()
}

fn network(activated: bool) -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let stem = b.conv("stem", b.input(), Conv::dense(4, 3, 1), Bias::With).unwrap();
    let first = block(&mut b, "blocks.0", stem, activated);
    let second = block(&mut b, "blocks.1", first, activated);
    let pooled = b.global_pool("pool", second, PoolKind::Avg, true).unwrap();
    let ys = b.linear("classifier", pooled, 3, Bias::With).unwrap();
    b.output("logits", ys).unwrap();
    b.build().unwrap()
}

#[test]
fn without_a_block_the_network_is_as_if_its_last_norm_were_zero() {
    for activated in [false, true] {
        let model = model(network(activated), 3);
        let blocks = residual_blocks(model.graph());
        let names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
        assert_eq!(names, ["blocks.0", "blocks.1"]);
        for block in &blocks {
            let shorter = remove_block(&model, block).unwrap();
            let mut tensors = model.tensors().to_vec();
            for end in ["weight", "bias"] {
                let id = model.graph().param_id(&format!("{}.bn2.{end}", block.name)).unwrap();
                tensors[id.index()].data.fill(0.0);
            }
            let silent = logits(&model.clone().with_tensors(tensors).unwrap());
            let short = logits(&shorter);
            assert!(
                short.iter().zip(&silent).all(|(a, b)| (a - b).abs() < 1e-9),
                "{short:?} {silent:?}"
            );
            assert!(short.iter().zip(logits(&model)).any(|(a, b)| (a - b).abs() > 1e-3));
            assert_eq!(shorter.tensors().len(), model.tensors().len() - 10);
        }
    }
}

#[test]
fn a_branch_that_is_read_elsewhere_stays() {
    let mut b = GraphBuilder::new(4).unwrap();
    let a = b.conv("a", b.input(), Conv::pointwise(4), Bias::With).unwrap();
    let inner = b.conv("inner", a, Conv::pointwise(4), Bias::With).unwrap();
    let sum = b.add("sum", a, inner).unwrap();
    let twice = b.add("twice", sum, inner).unwrap();
    // A shortcut with a convolution is no block either: both ways are branches.
    let left = b.conv("left", twice, Conv::pointwise(4), Bias::With).unwrap();
    let right = b.conv("right", twice, Conv::pointwise(4), Bias::With).unwrap();
    let joined = b.add("joined", left, right).unwrap();
    b.output("features", joined).unwrap();
    assert_eq!(residual_blocks(&b.build().unwrap()), []);
}
