//! Every criterion prunes every family to half of its operations, and what is left can be kept, judged, trained and pruned again.

use taper_cost::macs;
use taper_engine::{Cpu, Session, Trainer};
use taper_graph::{Graph, NodeId, ParamId, ParamRole};
use taper_model::{Model, Precision};
use taper_prune::{
    Amount, Criterion, Error, Evidence, Groups, Limits, Metric, Problem, Protect, Ranking, Scoring,
    Target, cut, scores, solve,
};
use taper_zoo::Options;
use taper_zoo::mobilenet_v2::Scaling;

use crate::executors::{images, model, params, shape};

const NETWORKS: [&str; 14] = [
    "mobilenetv1_100",
    "mobilenetv2_100",
    "mobilenetv3_large_100",
    "mobilenetv4_conv_small",
    "mobilenetv4_hybrid_medium",
    "efficientnet_b0",
    "tf_efficientnetv2_s",
    "mobileone_s0",
    "repvit_m1",
    "mnasnet_100",
    "lcnet_100",
    "resnet50",
    "vgg11",
    "lenet5",
];

/// Those without norms, of which a norm's scales cannot tell anything.
const WITHOUT_NORMS: [&str; 2] = ["vgg11", "lenet5"];

/// A network with the images that it is trained on.
struct Network {
    name: &'static str,
    model: Model,
    shape: [usize; 3],
    images: Vec<f32>,
}

impl Network {
    fn new(name: &'static str) -> Self {
        // Narrow, on small images: what is tested is what happens to each operation.
        let (shape, options) = match name {
            "lenet5" => (shape(name), Options::classes(10)),
            _ => ([4, 64, 48], Options { scaling: Scaling::width(0.25), ..Options::classes(10) }),
        };
        let graph = taper_zoo::architecture(name).and_then(|it| it.graph_with(&options)).unwrap();
        let images = images(graph.input_channels(), shape);
        Self { name, model: model(graph, shape), shape, images }
    }

    fn with(&self, model: Model) -> Self {
        Self { name: self.name, model, shape: self.shape, images: self.images.clone() }
    }

    fn graph(&self) -> &Graph {
        self.model.graph()
    }

    fn macs(&self) -> u64 {
        macs(self.graph(), self.shape[1], self.shape[2]).unwrap().0
    }

    /// Gradients of half the squared logits, of every parameter that is trained.
    fn gradients(&self) -> Vec<Vec<f32>> {
        let all = vec![true; self.model.tensors().len()];
        let mut trainer = Trainer::new(self.graph(), "logits", &all, Cpu::new(1)).unwrap();
        let params = params(&self.model);
        let logits = trainer.forward(&params, &self.images, self.shape, 0).unwrap().to_vec();
        assert!(logits.iter().all(|logit| logit.is_finite()), "{}", self.name);
        let mut gradients = vec![Vec::new(); params.len()];
        trainer.backward(&params, &logits, &mut gradients).unwrap();
        gradients
    }

    /// Means of absolute channels, by node.
    fn activations(&self) -> Vec<Vec<f32>> {
        let nodes: Vec<NodeId> =
            self.graph().node_ids().filter(|id| *id != self.graph().input()).collect();
        let size = [self.shape[1], self.shape[2]];
        let params = params(&self.model);
        let mut session = Session::of_nodes(self.graph(), &params, &nodes, size, 1).unwrap();
        let mut means = vec![Vec::new(); self.graph().nodes().len()];
        let channels = self.graph().channels().unwrap();
        let outputs = session.run_all(&self.images, self.shape).unwrap();
        for (id, output) in nodes.iter().zip(outputs) {
            let mut sums = vec![0.0; channels[id.index()]];
            for position in output.chunks_exact(sums.len()) {
                sums.iter_mut().zip(position).for_each(|(sum, value)| *sum += value.abs());
            }
            means[id.index()] = sums;
        }
        means
    }

    /// Half of the operations by a criterion.
    fn halved(&self, criterion: Criterion, evidence: &Evidence<'_>) -> Result<Model, Box<Error>> {
        let groups = Groups::of(self.graph(), &Protect::default())?;
        let scored = scores(&self.model, &groups, &Scoring::of(criterion), evidence)?;
        let ranked = Ranking::of(self.graph()).rank(&groups, &scored)?;
        let problem = Problem {
            groups: &groups,
            scores: &ranked,
            size: [self.shape[1], self.shape[2]],
            limits: &Limits::default(),
            cost_exponent: 1.0,
        };
        let half = Target { metric: Metric::Macs, amount: Amount::Share(0.5) };
        let plan = solve(&problem, &[half], None)?;
        Ok(cut(&self.model, &groups, &plan.cut)?)
    }

    /// A step of plain gradient descent; every weight has a gradient, and the most of them move.
    fn trained(&self) -> Model {
        let gradients = self.gradients();
        let mut tensors = self.model.tensors().to_vec();
        let ids: Vec<ParamId> = self.graph().param_ids().collect();
        for (id, gradient) in ids.into_iter().zip(gradients) {
            let spec = self.graph().param(id);
            assert!(gradient.iter().all(|it| it.is_finite()), "{}: {}", self.name, spec.name);
            let moves = gradient.iter().any(|it| *it != 0.0);
            assert!(moves || spec.role != ParamRole::Weight, "{}: {}", self.name, spec.name);
            let pairs = tensors[id.index()].data.iter_mut().zip(gradient);
            pairs.for_each(|(value, gradient)| *value -= 1e-6 * gradient);
        }
        self.model.clone().with_tensors(tensors).unwrap()
    }
}

#[test]
fn every_criterion_halves_every_family_which_then_trains_and_halves_again() {
    for name in NETWORKS {
        let network = Network::new(name);
        let gradients = network.gradients();
        let squared: Vec<Vec<f32>> =
            gradients.iter().map(|all| all.iter().map(|g| g * g).collect()).collect();
        let activations = network.activations();
        let evidence = Evidence {
            gradients: &gradients,
            squared_gradients: &squared,
            activations: &activations,
        };
        for criterion in Criterion::all() {
            let what = format!("{name} by {criterion}");
            let halved = network.halved(criterion, &evidence);
            if criterion == Criterion::BatchNormScale && WITHOUT_NORMS.contains(&name) {
                let refused = halved.err().map(|error| *error);
                assert!(matches!(refused, Some(Error::NothingToSay { .. })), "{what}");
                continue;
            }
            let halved = network.with(halved.unwrap_or_else(|error| panic!("{what}: {error}")));
            let share = halved.macs() as f64 / network.macs() as f64;
            assert!((0.45..=0.5).contains(&share), "{what}: {share}");

            let file = halved.model.to_bytes(Precision::F32).unwrap();
            let read = halved.with(Model::from_bytes(&file).unwrap());
            assert_eq!(read.model, halved.model, "{what}");
            let trained = read.with(read.trained());
            let again = trained.with(trained.halved(Criterion::L2, &Evidence::default()).unwrap());
            let share = again.macs() as f64 / network.macs() as f64;
            assert!((0.15..=0.25).contains(&share), "{what}, again: {share}");
            assert!(!again.gradients().is_empty(), "{what}");
        }
    }
}
