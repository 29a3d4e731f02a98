//! A batch of no images, through trainer and session.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use taper_engine::{Error, Reference, Session, Trainer};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, ParamRole, PoolKind};

fn network() -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("conv", b.input(), Conv::dense(4, 3, 2), Bias::Without).unwrap();
    let xs = b.batch_norm("bn", xs, 1e-5, 0.1).unwrap();
    let xs = b.activation("act", xs, Activation::Relu).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.linear("classifier", xs, 3, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

#[test]
fn no_images_give_no_output_and_gradients_of_zero() {
    let graph = network();
    let value = |role| if role == ParamRole::RunningVar { 1.0 } else { 0.5 };
    let params: Vec<Vec<f64>> =
        graph.params().iter().map(|p| vec![value(p.role); p.len()]).collect();
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let head: Vec<bool> = graph.params().iter().map(|p| p.name.contains("classifier")).collect();
    let mut trainer = Trainer::new(&graph, "logits", &head, Reference).unwrap();
    assert!(trainer.forward(&params, &[], [0, 16, 16], 0).unwrap().is_empty());
    let mut gradients = vec![Vec::new(); params.len()];
    trainer.backward(&params, &[], &mut gradients).unwrap();
    for (gradient, spec) in gradients.iter().zip(graph.params()) {
        let len = if spec.name.contains("classifier") { spec.len() } else { 0 };
        assert_eq!(*gradient, vec![0.0; len], "{}", spec.name);
    }
    let single: Vec<Vec<f32>> =
        params.iter().map(|p| p.iter().map(|&v| v as f32).collect()).collect();
    let single: Vec<&[f32]> = single.iter().map(Vec::as_slice).collect();
    let logits = graph.output("logits").unwrap();
    let mut session = Session::of_nodes(&graph, &single, &[logits], [16, 16], 2).unwrap();
    assert!(session.run(&[], [0, 16, 16]).unwrap().is_empty());
    assert_eq!(session.run(&[0.5; 2 * 16 * 16 * 3], [2, 16, 16]).unwrap().len(), 6);
    // Statistics of nothing there are none.
    let all = vec![true; params.len()];
    let mut trainer = Trainer::new(&graph, "logits", &all, Reference).unwrap();
    let error = trainer.forward(&params, &[], [0, 16, 16], 0).map(<[f64]>::len);
    assert!(matches!(error, Err(Error::SingleValue { batch: 0, .. })));
}
