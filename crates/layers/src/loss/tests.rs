//! Losses against central differences, against each other, and against what they refuse.

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;

use super::*;

const N: usize = 3;
const K: usize = 4;

/// Every loss there is.
const LOSSES: [&str; 13] = [
    "cross-entropy",
    "soft cross-entropy",
    "cross-entropy of maps",
    "soft cross-entropy of maps",
    "ignoring cross-entropy",
    "binary cross-entropy",
    "squared error",
    "Huber",
    "smooth L1",
    "sigmoid focal",
    "softmax focal",
    "softmax focal of maps",
    "distillation",
];

/// Logits and every kind of target, with legal settings.
#[derive(Debug, Clone)]
struct Problem {
    logits: Vec<f64>,
    others: Vec<f64>,
    shares: Vec<f64>,
    classes: Vec<u32>,
    weights: Vec<f64>,
    /// A setting from 0 to 1.
    small: f64,
    /// A setting from 0.3 to 4.
    large: f64,
    reduction: Reduction,
}

impl Problem {
    fn generate() -> impl Strategy<Value = Problem> {
        let many = |range, n: usize| proptest::collection::vec(range, n);
        let reduction =
            prop_oneof![Just(Reduction::Mean), Just(Reduction::Sum), Just(Reduction::None)];
        let tensors = (
            many(-4.0..4.0, N * K),
            many(-4.0..4.0, N * K),
            many(0.0..1.0, N * K),
            proptest::collection::vec(0u32..4, N),
            many(0.1..3.0, N * K),
        );
        (tensors, 0.0..1.0, 0.3..4.0, reduction).prop_map(
            |((logits, others, shares, classes, weights), small, large, reduction)| Problem {
                logits,
                others,
                shares,
                classes,
                weights,
                small,
                large,
                reduction,
            },
        )
    }

    fn tensor(values: &[f64], n: usize) -> Tensor {
        let values = &values[..n * K];
        let shape: &[usize] = if n == 1 { &[K] } else { &[N, K] };
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    fn classes(&self) -> Tensor {
        Tensor::new(self.classes.as_slice(), &Device::Cpu).unwrap()
    }

    fn shares(&self) -> Tensor {
        Self::tensor(&self.shares, N)
    }

    fn others(&self) -> Tensor {
        Self::tensor(&self.others, N)
    }

    fn class_weights(&self) -> Tensor {
        Self::tensor(&self.weights, 1)
    }

    fn cross_entropy(&self) -> CrossEntropy {
        let loss = CrossEntropy::new().with_weight(&self.class_weights()).unwrap();
        loss.with_label_smoothing(self.small).unwrap().with_reduction(self.reduction)
    }

    fn loss(&self, name: &str, xs: &Tensor) -> crate::Result<Result<Tensor>> {
        let Self { small, large, reduction, .. } = *self;
        let (classes, shares, others) = (self.classes(), self.shares(), self.others());
        Ok(match name {
            "cross-entropy" => self.cross_entropy().forward(xs, &classes),
            "soft cross-entropy" => {
                let probabilities = candle_nn::ops::softmax(&others, 1);
                probabilities.and_then(|it| self.cross_entropy().forward(xs, &it))
            }
            "cross-entropy of maps" => {
                let maps = as_map(xs);
                maps.and_then(|maps| self.cross_entropy().forward(&maps, &class_map(&classes)?))
            }
            "soft cross-entropy of maps" => {
                let probabilities = candle_nn::ops::softmax(&others, 1).and_then(|it| as_map(&it));
                let maps = as_map(xs);
                probabilities.and_then(|it| self.cross_entropy().forward(&maps?, &it))
            }
            "ignoring cross-entropy" => {
                // The second row is always counted, so that there is a mean.
                let ignored = self.classes.clone().into_iter().enumerate();
                let ignored: Vec<u32> = ignored
                    .map(|(i, class)| if i != 1 && class < 2 { 255 } else { class })
                    .collect();
                let loss = self.cross_entropy().with_ignore_index(255);
                Tensor::new(ignored, &Device::Cpu).and_then(|it| loss.forward(xs, &it))
            }
            "softmax focal of maps" => {
                let loss = SoftmaxFocal::new()
                    .with_weight(&self.class_weights())?
                    .with_gamma(large)?
                    .with_reduction(reduction);
                as_map(xs).and_then(|maps| loss.forward(&maps, &class_map(&classes)?))
            }
            "binary cross-entropy" => BceWithLogits::new()
                .with_weight(&Self::tensor(&self.weights, N))?
                .with_pos_weight(&self.class_weights())?
                .with_reduction(reduction)
                .forward(xs, &shares),
            "squared error" => Mse::new().with_reduction(reduction).forward(xs, &others),
            "Huber" => Huber::new(large)?.with_reduction(reduction).forward(xs, &others),
            "smooth L1" => SmoothL1::new(large)?.with_reduction(reduction).forward(xs, &others),
            "sigmoid focal" => SigmoidFocal::new()
                .with_alpha(Some(small))?
                .with_gamma(large)?
                .with_reduction(reduction)
                .forward(xs, &shares),
            "softmax focal" => SoftmaxFocal::new()
                .with_weight(&self.class_weights())?
                .with_gamma(large)?
                .with_reduction(reduction)
                .forward(xs, &classes),
            "distillation" => {
                Distillation::new(large)?.with_reduction(reduction).forward(xs, &others)
            }
            _ => Err(candle_core::Error::msg(format!("no loss is called `{name}`"))),
        })
    }
}

/// Three rows as one map of three rows and one column, `(1, K, N, 1)`, as a channels-last view.
fn as_map(rows: &Tensor) -> Result<Tensor> {
    rows.reshape((1, N, 1, K))?.permute((0, 3, 1, 2))
}

fn class_map(classes: &Tensor) -> Result<Tensor> {
    classes.reshape((1, N, 1))
}

/// A loss made a number: unreduced ones times 1, 2, 3, …, so that each element has a gradient of its own.
fn number(loss: &Tensor) -> Tensor {
    let steps = Tensor::arange(1.0, 1.0 + loss.elem_count() as f64, &Device::Cpu).unwrap();
    let steps = steps.reshape(loss.shape()).unwrap();
    (loss * steps).unwrap().sum_all().unwrap()
}

fn scalar(tensor: &Tensor) -> f64 {
    tensor.to_scalar().unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

proptest! {
    /// At a seam of Huber's loss a difference is off by up to a quarter of its step, elsewhere by rounding of the loss.
    #[test]
    fn gradients_are_central_differences(problem in Problem::generate()) {
        for name in LOSSES {
            let at = |values: &[f64]| {
                let xs = Var::from_tensor(&Problem::tensor(values, N)).unwrap();
                (number(&problem.loss(name, &xs).unwrap().unwrap()), xs)
            };
            let (value, xs) = at(&problem.logits);
            let grad = flat(value.backward().unwrap().get(&xs).unwrap());
            let largest = grad.iter().fold(1e-3, |largest: f64, it| largest.max(it.abs()));
            for (i, grad) in grad.iter().enumerate() {
                let moved = |by: f64| {
                    let mut moved = problem.logits.clone();
                    moved[i] += by;
                    scalar(&at(&moved).0)
                };
                let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                prop_assert!((difference - grad).abs() <= 1e-6 * largest, "{}[{}]: {} {}", name, i, difference, grad);
            }
        }
    }

    #[test]
    fn a_class_is_the_probability_1_of_it(problem in Problem::generate()) {
        let xs = Problem::tensor(&problem.logits, N);
        let mut one_hot = vec![0.0; N * K];
        for (i, class) in problem.classes.iter().enumerate() {
            one_hot[i * K + *class as usize] = 1.0;
        }
        let loss = problem.cross_entropy().with_reduction(Reduction::None);
        let hard = flat(&loss.forward(&xs, &problem.classes()).unwrap());
        let soft = flat(&loss.forward(&xs, &Problem::tensor(&one_hot, N)).unwrap());
        // Rows agree; only the means divide by different numbers.
        for (hard, soft) in hard.iter().zip(&soft) {
            prop_assert!((hard - soft).abs() < 1e-12 * (1.0 + hard), "{} {}", hard, soft);
        }
    }

    #[test]
    fn without_focus_focal_loss_is_cross_entropy(problem in Problem::generate()) {
        let (xs, shares, classes) = (Problem::tensor(&problem.logits, N), problem.shares(), problem.classes());
        let sigmoid = SigmoidFocal::new().with_alpha(None).unwrap().with_gamma(0.0).unwrap();
        let focal = sigmoid.forward(&xs, &shares).unwrap();
        let plain = BceWithLogits::new().forward(&xs, &shares).unwrap();
        prop_assert!((scalar(&focal) - scalar(&plain)).abs() < 1e-14);
        let softmax = SoftmaxFocal::new().with_gamma(0.0).unwrap();
        let focal = softmax.forward(&xs, &classes).unwrap();
        let plain = CrossEntropy::new().forward(&xs, &classes).unwrap();
        prop_assert!((scalar(&focal) - scalar(&plain)).abs() < 1e-14);
    }
}

#[test]
fn a_sure_and_right_answer_costs_nothing_and_a_wrong_one_its_margin() {
    let logits = Tensor::new(&[[80.0f64, 0.0]], &Device::Cpu).unwrap();
    let loss = |class: u32| {
        cross_entropy(&logits, &Tensor::new(&[class], &Device::Cpu).unwrap(), 0.0).unwrap()
    };
    assert!(scalar(&loss(0)).abs() < 1e-12);
    assert!((scalar(&loss(1)) - 80.0).abs() < 1e-12);
}

#[test]
fn logits_of_any_size_have_finite_losses_and_gradients() {
    for dtype in [DType::F32, DType::F64] {
        let xs = Tensor::new(
            &[[1e30f64, -1e30, 0.0, 200.0], [-200.0, 200.0, 89.0, -1e30]],
            &Device::Cpu,
        );
        let xs = Var::from_tensor(&xs.unwrap().to_dtype(dtype).unwrap()).unwrap();
        let marks = Tensor::new(&[[1u32, 0, 1, 1], [0, 1, 1, 0]], &Device::Cpu).unwrap();
        let classes = Tensor::new(&[0u32, 3], &Device::Cpu).unwrap();
        let sigmoid = |gamma| SigmoidFocal::new().with_gamma(gamma).unwrap().forward(&xs, &marks);
        let softmax = |gamma| SoftmaxFocal::new().with_gamma(gamma).unwrap().forward(&xs, &classes);
        let losses = [
            cross_entropy(&xs, &classes, 0.1),
            BceWithLogits::new().forward(&xs, &marks),
            sigmoid(2.0),
            sigmoid(0.01),
            softmax(2.0),
            softmax(0.01),
        ];
        for (i, loss) in losses.into_iter().enumerate() {
            let loss = loss.unwrap();
            let grads = loss.backward().unwrap();
            let grad = grads.get(&xs).unwrap().to_dtype(DType::F64).unwrap();
            let value = scalar(&loss.to_dtype(DType::F64).unwrap());
            assert!(value.is_finite(), "{i} in {dtype:?}: {value}");
            assert!(flat(&grad).iter().all(|it| it.is_finite()), "{i} in {dtype:?}: {grad}");
        }
    }
}

#[test]
fn nothing_flows_to_the_teacher() {
    let teacher = Var::new(&[[1.0f64, 2.0]], &Device::Cpu).unwrap();
    let student = Var::new(&[[0.0f64, 0.0]], &Device::Cpu).unwrap();
    let loss = Distillation::new(2.0).unwrap().forward(&student, &teacher).unwrap();
    let grads = loss.backward().unwrap();
    assert!(grads.get(&teacher).is_none());
    assert!(flat(grads.get(&student).unwrap()).iter().all(|it| it.abs() > 0.1));
}

#[test]
fn settings_that_are_not_defined_are_refused_when_a_loss_is_made() {
    let message = |error: crate::Error| error.to_string();
    let smoothing = |s| CrossEntropy::new().with_label_smoothing(s).map(|_| ());
    assert_eq!(
        message(smoothing(1.5).unwrap_err()),
        "label smoothing is 1.5, expected a number from 0 to 1"
    );
    assert!(smoothing(f64::NAN).is_err() && smoothing(-0.1).is_err() && smoothing(1.0).is_ok());
    let refused = Huber::new(0.0).unwrap_err();
    assert_eq!(message(refused), "Huber's delta is 0, expected a finite number above 0");
    assert!(SmoothL1::new(-1.0).is_err() && Distillation::new(0.0).is_err());
    assert!(Huber::new(f64::INFINITY).is_err() && Distillation::new(f64::NAN).is_err());
    assert!(SigmoidFocal::new().with_alpha(Some(1.1)).is_err());
    assert!(SigmoidFocal::new().with_gamma(-1.0).is_err());
    let weight = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    let refused = CrossEntropy::new().with_weight(&weight(&[1.0, -2.0])).unwrap_err();
    assert_eq!(message(refused), "a class weight is -2, expected a finite number, 0 or more");
    assert!(SoftmaxFocal::new().with_weight(&weight(&[f32::NAN])).is_err());
    assert!(BceWithLogits::new().with_pos_weight(&weight(&[f32::INFINITY])).is_err());
    let square = weight(&[1.0, 1.0]).reshape((1, 2)).unwrap();
    assert!(matches!(
        CrossEntropy::new().with_weight(&square),
        Err(crate::Error::ClassWeights { .. })
    ));
}

#[test]
fn tensors_that_do_not_fit_are_refused_with_what_was_expected() {
    let logits = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let u32s = |values: &[u32]| Tensor::new(values, &Device::Cpu).unwrap();
    let f32s = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    let ce = |targets: &Tensor| CrossEntropy::new().forward(&logits, targets);
    let refused = |result: Result<Tensor>, expected: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    };
    refused(ce(&u32s(&[0, 3])), "target 3 is not below 3, the number of classes");
    refused(ce(&u32s(&[0])), "cross-entropy got targets U32 [1], expected U32 [2]");
    refused(ce(&f32s(&[0.0, 1.0])), "cross-entropy got targets F32 [2], expected U32 [2]");
    refused(
        ce(&logits.narrow(1, 0, 2).unwrap()),
        "cross-entropy got targets [2, 2], expected the shape [2, 3]",
    );
    refused(cross_entropy(&logits, &u32s(&[0, 1]), 1.5), "label smoothing is 1.5");
    refused(
        cross_entropy(&logits.narrow(0, 0, 0).unwrap(), &u32s(&[]), 0.0),
        "cross-entropy of 0 rows",
    );
    let weighted = |weight: &[f32]| CrossEntropy::new().with_weight(&f32s(weight)).unwrap();
    refused(
        weighted(&[1.0; 2]).forward(&logits, &u32s(&[0, 1])),
        "got 2 class weights, expected one for each of 3",
    );
    refused(
        weighted(&[0.0, 1.0, 1.0]).forward(&logits, &u32s(&[0, 0])),
        "all targets have weight 0 or are ignored",
    );
    let column = f32s(&[1.0, 1.0]).reshape((2, 1)).unwrap();
    refused(Mse::new().forward(&logits, &column), "squared error got targets [2, 1]");
    refused(
        Distillation::new(1.0).unwrap().forward(&logits, &column),
        "distillation got targets [2, 1]",
    );
    let bce = BceWithLogits::new().with_pos_weight(&f32s(&[1.0, 1.0])).unwrap();
    refused(
        bce.forward(&logits, &logits),
        "the positive weight has shape [2], which does not broadcast to [2, 3]",
    );
    assert!(BceWithLogits::new().with_weight(&column).unwrap().forward(&logits, &logits).is_ok());
}

proptest! {
    #[test]
    fn a_map_costs_what_its_positions_cost(problem in Problem::generate()) {
        for name in ["cross-entropy", "soft cross-entropy", "softmax focal"] {
            let of = |name: &str| {
                problem.loss(name, &Problem::tensor(&problem.logits, N)).unwrap().unwrap()
            };
            let (rows, maps) = (of(name), of(&format!("{name} of maps")));
            let shape: &[usize] = if rows.rank() == 0 { &[] } else { &[1, N, 1] };
            prop_assert_eq!(maps.dims(), shape);
            prop_assert_eq!(flat(&maps), flat(&rows));
        }
    }
}

#[test]
fn an_ignored_row_counts_nowhere() {
    let logits = Problem::tensor(&(0..12).map(|i| f64::from(i).sin()).collect::<Vec<_>>(), N);
    let rows = |n: usize| logits.narrow(0, 0, n).unwrap();
    let classes = |classes: &[u32]| Tensor::new(classes, &Device::Cpu).unwrap();
    let weights = Tensor::new(&[1.0f64, 2.0, 0.5, 3.0], &Device::Cpu).unwrap();
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let loss = CrossEntropy::new().with_weight(&weights).unwrap();
        let loss = loss.with_label_smoothing(0.2).unwrap().with_reduction(reduction);
        let two = loss.forward(&rows(2), &classes(&[3, 1])).unwrap();
        let ignoring = loss.clone().with_ignore_index(255);
        let three = ignoring.forward(&rows(3), &classes(&[3, 1, 255])).unwrap();
        assert!((scalar(&two) - scalar(&three)).abs() < 1e-12);
        let refused = loss.forward(&rows(3), &classes(&[3, 1, 255])).unwrap_err().to_string();
        assert!(refused.starts_with("target 255 is not below 4"), "{refused}");
    }
    let ignoring = CrossEntropy::new().with_ignore_index(9);
    let refused = ignoring.forward(&rows(2), &classes(&[9, 9])).unwrap_err().to_string();
    assert!(refused.starts_with("all targets have weight 0 or are ignored"), "{refused}");
}

#[test]
fn a_target_that_is_not_known_counts_nowhere_and_moves_nothing() {
    let logits = [0.3, -1.2, 2.0, 0.7, -0.4, 1.1];
    let targets = [1.0, f64::NAN, 0.0, f64::NAN, 1.0, 0.0];
    let known = |values: &[f64]| -> Vec<f64> {
        values.iter().zip(targets).filter(|(_, it)| !it.is_nan()).map(|(value, _)| *value).collect()
    };
    let tensor = |values: &[f64], shape: &[usize]| {
        Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
    };
    type Forward<'a> = &'a dyn Fn(&Tensor, &Tensor, Reduction) -> Tensor;
    let bce: Forward<'_> = &|xs, ys, reduction| {
        let loss = BceWithLogits::new().with_ignore_nan().with_reduction(reduction);
        loss.forward(xs, ys).unwrap()
    };
    let focal: Forward<'_> = &|xs, ys, reduction| {
        let loss = SigmoidFocal::new().with_ignore_nan().with_reduction(reduction);
        loss.forward(xs, ys).unwrap()
    };
    let mse: Forward<'_> = &|xs, ys, reduction| {
        Mse::new().with_ignore_nan().with_reduction(reduction).forward(xs, ys).unwrap()
    };
    let huber: Forward<'_> = &|xs, ys, reduction| {
        let loss = Huber::new(0.5).unwrap().with_ignore_nan().with_reduction(reduction);
        loss.forward(xs, ys).unwrap()
    };
    let smooth: Forward<'_> = &|xs, ys, reduction| {
        let loss = SmoothL1::new(0.5).unwrap().with_ignore_nan().with_reduction(reduction);
        loss.forward(xs, ys).unwrap()
    };
    for forward in [bce, focal, mse, huber, smooth] {
        let shape = [2, 3];
        let xs = Var::from_tensor(&tensor(&logits, &shape)).unwrap();
        let some = tensor(&known(&logits), &[4]);
        for reduction in [Reduction::Mean, Reduction::Sum] {
            let all = forward(&xs, &tensor(&targets, &shape), reduction);
            let of_known = forward(&some, &tensor(&known(&targets), &[4]), reduction);
            assert!((scalar(&all) - scalar(&of_known)).abs() < 1e-12);
            let grads = all.backward().unwrap();
            let grads = flat(grads.get(&xs).unwrap());
            for (gradient, target) in grads.iter().zip(targets) {
                assert_eq!(gradient.abs() < 1e-300, target.is_nan(), "{grads:?}");
            }
        }
        let each = forward(&xs, &tensor(&targets, &shape), Reduction::None);
        assert_eq!(each.dims(), shape);
        let none = forward(&xs, &tensor(&[f64::NAN; 6], &shape), Reduction::Mean);
        assert_eq!(flat(&none), [0.0]);
        let grads = none.backward().unwrap();
        assert_eq!(flat(grads.get(&xs).unwrap()), [0.0; 6]);
    }
    let strict = BceWithLogits::new().forward(&tensor(&logits, &[6]), &tensor(&targets, &[6]));
    assert!(scalar(&strict.unwrap()).is_nan(), "as PyTorch's, unless it is asked for");
}

#[test]
fn targets_of_a_map_have_its_size() {
    let logits = Tensor::zeros((2, 3, 4, 5), DType::F32, &Device::Cpu).unwrap();
    let targets = Tensor::zeros((2, 5, 4), DType::U32, &Device::Cpu).unwrap();
    let refused = CrossEntropy::new().forward(&logits, &targets).unwrap_err().to_string();
    assert!(
        refused.starts_with("cross-entropy got targets [2, 5, 4], expected [2, 4, 5]"),
        "{refused}"
    );
}
