//! Every rule on one thread and on several, and going on from a saved state: the same bits.

use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};

use crate::{
    Adam, AdamW, Adan, Group, Lamb, Lion, Lookahead, Muon, NAdam, Optimizer, RmsProp, RmsPropTf,
    Role, Rule, Sgd,
};

fn rules() -> Vec<(&'static str, Box<dyn Rule>)> {
    let sgd = Sgd { momentum: 0.9, nesterov: true, dampening: 0.0 };
    let rms = RmsProp { momentum: 0.9, centered: true, ..RmsProp::default() };
    vec![
        ("sgd", Box::new(sgd)),
        ("adam", Box::new(Adam::default())),
        ("adamw", Box::new(AdamW::default())),
        ("nadam", Box::new(NAdam::default())),
        ("rmsprop", Box::new(rms)),
        ("rmsprop-tf", Box::new(RmsPropTf { momentum: 0.9, ..RmsPropTf::default() })),
        ("lamb", Box::new(Lamb::default())),
        ("lion", Box::new(Lion::default())),
        ("adan", Box::new(Adan::default())),
        ("muon", Box::new(Muon::default())),
        ("lookahead", Box::new(Lookahead { every: 3, ..Lookahead::of(Lamb::default()) })),
    ]
}

/// Parameters of several parts and of less than one, in two precisions, more than are lent at once.
struct Params(Vec<(String, Var)>);

impl Params {
    fn new() -> Self {
        let shapes: [&[usize]; 5] = [&[300, 150], &[40, 20, 3, 3], &[16, 1, 3, 3], &[7], &[50_000]];
        let var = |(at, shape): (usize, &&[usize])| {
            let n: usize = shape.iter().product();
            let values: Vec<f64> = (0..n).map(|i| ((i * (at + 3)) as f64 * 0.37).sin()).collect();
            let tensor = Tensor::from_vec(values, *shape, &Device::Cpu).unwrap();
            let dtype = if at % 4 == 1 { DType::F64 } else { DType::F32 };
            (format!("p{at}"), Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap())
        };
        let small = |i| (format!("small{i}"), Var::new(&[i as f32, 1.0], &Device::Cpu).unwrap());
        Self(shapes.iter().enumerate().map(var).chain((0..70).map(small)).collect())
    }

    fn copied_from(other: &Self) -> Self {
        let new = Self::new();
        for ((_, to), (_, from)) in new.0.iter().zip(&other.0) {
            to.set(from.as_tensor()).unwrap();
        }
        new
    }

    fn optimizer<R: Rule>(&self, rule: R, threads: usize) -> Optimizer<R> {
        let (weights, rest): (Vec<_>, Vec<_>) =
            self.0.iter().cloned().partition(|(_, var)| var.rank() > 1);
        let groups = vec![
            Group::new("weights", weights).with_weight_decay(0.1),
            Group::new("rest", rest).with_role(Role::Other).with_lr_scale(0.5),
        ];
        Optimizer::from_groups(groups, rule).unwrap().with_threads(threads)
    }

    fn step<R: Rule>(&self, optimizer: &mut Optimizer<R>, step: u32) {
        let mut grads = GradStore::default();
        for (_, var) in &self.0 {
            let grad = ((var.as_tensor() * 3.0).unwrap() + f64::from(step)).unwrap().sin();
            grads.insert(var, grad.unwrap());
        }
        optimizer.step_at(&grads, 0.01 / f64::from(1 + step)).unwrap();
    }

    fn bits(&self) -> Vec<Vec<u64>> {
        let wide = |var: &Var| var.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
        let bits = |(_, var): &(String, Var)| {
            wide(var).to_vec1::<f64>().unwrap().into_iter().map(f64::to_bits).collect()
        };
        self.0.iter().map(bits).collect()
    }
}

#[test]
fn ten_steps_have_the_same_bits_on_any_number_of_threads_and_from_a_state_saved_half_way() {
    for (at, (name, rule)) in rules().into_iter().enumerate() {
        let again = || rules().remove(at).1;
        let (alone, shared) = (Params::new(), Params::new());
        let mut on_one = alone.optimizer(rule, 1);
        let mut on_three = shared.optimizer(again(), 3);
        for step in 0..5 {
            alone.step(&mut on_one, step);
            shared.step(&mut on_three, step);
        }
        let state = on_one.state().unwrap();
        let resumed = [1, 2].map(|threads| {
            let params = Params::copied_from(&alone);
            let mut optimizer = params.optimizer(again(), threads);
            optimizer.load_state(&state).unwrap();
            (5..10).for_each(|step| params.step(&mut optimizer, step));
            params.bits()
        });
        for step in 5..10 {
            alone.step(&mut on_one, step);
            shared.step(&mut on_three, step);
        }
        assert!(alone.bits() != Params::new().bits(), "{name} did not move");
        assert!(alone.bits() == shared.bits(), "{name} on three threads");
        assert!(resumed.iter().all(|bits| *bits == alone.bits()), "{name} resumed");
    }
}

#[test]
fn a_gradient_that_is_a_variable_is_read_before_anything_moves() {
    let [a, b] = [[1.0f32, 2.0], [3.0, 4.0]].map(|it| Var::new(&it, &Device::Cpu).unwrap());
    let named = vec![("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())];
    let mut optimizer =
        Optimizer::from_groups(vec![Group::new("all", named)], Sgd::default()).unwrap();
    let mut grads = GradStore::default();
    grads.insert(&a, b.as_tensor().clone());
    grads.insert(&b, a.as_tensor().clone());
    optimizer.step_at(&grads, 1.0).unwrap();
    assert_eq!(a.to_vec1::<f32>().unwrap(), [-2.0, -2.0]);
    assert_eq!(b.to_vec1::<f32>().unwrap(), [2.0, 2.0]);
}
