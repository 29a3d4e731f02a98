//! Steps over several groups, state that resumes, and what is refused.

mod threads;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};

use crate::{AdamW, Error, Group, Optimizer, Rule, Sgd};

fn var(values: &[f32]) -> Var {
    Var::new(values, &Device::Cpu).unwrap()
}

fn values(var: &Var) -> Vec<f32> {
    var.to_vec1().unwrap()
}

fn grads_of(vars: &[&Var]) -> GradStore {
    let mut grads = GradStore::default();
    for var in vars {
        grads.insert(var, (var.sin().unwrap() * 0.7).unwrap());
    }
    grads
}

fn make<R: Rule>(rule: R) -> (Optimizer<R>, Var, Var) {
    let (a, b) = (var(&[1.0, -2.0, 0.5]), var(&[0.25; 5]));
    let groups = vec![
        Group::new("decayed", vec![("a".to_owned(), a.clone())]).with_weight_decay(0.1),
        Group::new("slow", vec![("b".to_owned(), b.clone())]).with_lr_scale(0.1),
    ];
    (Optimizer::from_groups(groups, rule).unwrap(), a, b)
}

fn resumes_with_the_same_bits<R: Rule + Copy>(rule: R) {
    let (mut whole, a, b) = make(rule);
    for _ in 0..7 {
        whole.step_at(&grads_of(&[&a, &b]), 0.1).unwrap();
    }
    let (mut first, c, d) = make(rule);
    for _ in 0..3 {
        first.step_at(&grads_of(&[&c, &d]), 0.1).unwrap();
    }
    let (mut second, e, f) = make(rule);
    e.set(&c).unwrap();
    f.set(&d).unwrap();
    second.load_state(&first.state().unwrap()).unwrap();
    for _ in 0..4 {
        second.step_at(&grads_of(&[&e, &f]), 0.1).unwrap();
    }
    assert_eq!((values(&a), values(&b)), (values(&e), values(&f)));
}

#[test]
fn a_saved_and_loaded_optimizer_steps_with_the_same_bits() {
    resumes_with_the_same_bits(Sgd { momentum: 0.9, nesterov: true, dampening: 0.0 });
    resumes_with_the_same_bits(Sgd::default());
    resumes_with_the_same_bits(AdamW::default());
}

#[test]
fn groups_have_their_own_rate_and_decay() {
    let (mut optimizer, a, b) = make(Sgd::default());
    let mut grads = GradStore::default();
    grads.insert(&a, Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
    grads.insert(&b, Tensor::ones(5, DType::F32, &Device::Cpu).unwrap());
    optimizer.step_at(&grads, 1.0).unwrap();
    assert_eq!(values(&a), [0.9, -1.8, 0.45]); // only decayed
    assert!(values(&b).iter().all(|b| (b - 0.15).abs() < 1e-7)); // a tenth of the rate
}

#[test]
fn a_parameter_without_a_gradient_stays_and_keeps_no_state() {
    let (mut optimizer, a, b) = make(AdamW::default());
    optimizer.step_at(&grads_of(&[&a]), 0.1).unwrap();
    assert_eq!(values(&b), [0.25; 5]);
    let keys: Vec<String> = optimizer.state().unwrap().into_keys().collect();
    assert_eq!(keys, ["a.exp_avg", "a.exp_avg_sq", "a.step"]);
}

#[test]
fn the_variables_storage_is_written_in_place() {
    let (mut optimizer, a, b) = make(Sgd::default());
    let seen = a.as_detached_tensor();
    optimizer.step_at(&grads_of(&[&a, &b]), 0.1).unwrap();
    assert_eq!(seen.to_vec1::<f32>().unwrap(), values(&a));
}

#[test]
fn a_strided_gradient_is_read_in_its_logical_order() {
    let w = Var::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let group = Group::new("all", vec![("w".to_owned(), w.clone())]);
    let mut optimizer = Optimizer::from_groups(vec![group], Sgd::default()).unwrap();
    let grad =
        Tensor::new(&[[1.0f32, 4.0], [2.0, 5.0], [3.0, 6.0]], &Device::Cpu).unwrap().t().unwrap();
    let mut grads = GradStore::default();
    grads.insert(&w, grad);
    optimizer.step_at(&grads, 1.0).unwrap();
    assert_eq!(w.to_vec2::<f32>().unwrap(), [[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]);
}

#[test]
fn a_misshapen_gradient_moves_nothing() {
    let (mut optimizer, a, b) = make(Sgd::default());
    let mut grads = grads_of(&[&a]);
    grads.insert(&b, Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap());
    let refused = optimizer.step_at(&grads, 0.1);
    assert!(matches!(refused, Err(Error::GradShape { name, .. }) if name == "b"));
    assert_eq!(values(&a), [1.0, -2.0, 0.5]);
}

#[test]
fn a_state_of_other_parameters_is_refused_and_changes_nothing() {
    let (mut optimizer, a, b) = make(AdamW::default());
    optimizer.step_at(&grads_of(&[&a, &b]), 0.1).unwrap();
    let good = optimizer.state().unwrap();
    let changed = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut state = good.clone();
        change(&mut state);
        state
    };
    let zeros = |n: usize| Tensor::zeros(n, DType::F32, &Device::Cpu).unwrap();
    let surplus = changed(&|state| drop(state.insert("c.exp_avg".to_owned(), zeros(3))));
    let missing = changed(&|state| drop(state.remove("a.exp_avg")));
    let orphaned = changed(&|state| drop(state.remove("a.step")));
    let misshapen = changed(&|state| drop(state.insert("a.exp_avg".to_owned(), zeros(4))));
    let minus = Tensor::new(-1i64, &Device::Cpu).unwrap();
    let negative = changed(&|state| drop(state.insert("a.step".to_owned(), minus.clone())));
    assert!(
        matches!(optimizer.load_state(&surplus), Err(Error::UnknownState { key }) if key == "c.exp_avg")
    );
    assert!(
        matches!(optimizer.load_state(&missing), Err(Error::MissingState { key, .. }) if key == "a.exp_avg")
    );
    assert!(
        matches!(optimizer.load_state(&orphaned), Err(Error::UnknownState { key }) if key == "a.exp_avg")
    );
    assert!(matches!(optimizer.load_state(&misshapen), Err(Error::StateShape { .. })));
    assert!(matches!(optimizer.load_state(&negative), Err(Error::StateStep { got: -1, .. })));
    assert_eq!(optimizer.state().unwrap()["a.step"].to_scalar::<i64>().unwrap(), 1);
}

#[test]
fn parameters_listed_twice_or_of_another_type_are_refused() {
    let a = var(&[1.0]);
    let build = |params: Vec<(&str, &Var)>| {
        let params = params.into_iter().map(|(name, var)| (name.to_owned(), var.clone())).collect();
        Optimizer::from_groups(vec![Group::new("all", params)], Sgd::default())
    };
    assert!(matches!(
        build(vec![("a", &a), ("a", &var(&[1.0]))]),
        Err(Error::DuplicateName { .. })
    ));
    assert!(matches!(build(vec![("a", &a), ("b", &a)]), Err(Error::DuplicateVar { .. })));
    let half = Var::zeros(1, DType::F16, &Device::Cpu).unwrap();
    assert!(matches!(build(vec![("half", &half)]), Err(Error::Unsupported { .. })));
}

#[test]
fn variables_of_integers_are_passed_over() {
    use candle_nn::Optimizer as _;
    let (a, count) = (var(&[1.0]), Var::new(7i64, &Device::Cpu).unwrap());
    let rule = AdamW::default();
    let settings = crate::Settings { lr: 0.5, weight_decay: 0.0, rule };
    let mut optimizer = Optimizer::new(vec![count.clone(), a.clone()], settings).unwrap();
    optimizer.backward_step(&a.sqr().unwrap().sum_all().unwrap()).unwrap();
    assert!((values(&a)[0] - 0.5).abs() < 1e-6);
    assert_eq!(count.to_scalar::<i64>().unwrap(), 7);
    assert_eq!((optimizer.vars().count(), optimizer.groups().next()), (1, Some(("all", 1))));
    assert!(optimizer.state().unwrap().keys().all(|key| key.starts_with("1.")));
}

#[test]
fn a_group_of_a_var_map_keeps_names_in_their_order() {
    let vars = candle_nn::VarMap::new();
    for (name, dtype) in
        [("c.weight", DType::F32), ("a.count", DType::I64), ("b.weight", DType::F16)]
    {
        let var = Var::zeros(1, dtype, &Device::Cpu).unwrap();
        vars.data().lock().unwrap().insert(name.to_owned(), var);
    }
    let group = Group::from_var_map("all", &vars);
    let names: Vec<&str> = group.params.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b.weight", "c.weight"]);
    let refused = Optimizer::from_groups(vec![group], Sgd::default()).unwrap_err().to_string();
    assert!(refused.starts_with("parameter `b.weight` is f16 on Cpu"), "{refused}");
}

#[test]
fn a_parameter_on_another_device_is_refused_with_the_cure() {
    let error = Error::Unsupported {
        name: "fc.weight".to_owned(),
        dtype: "f32",
        device: "Cuda { gpu_id: 0 }".to_owned(),
    };
    let text = error.to_string();
    assert!(
        text.contains("`fc.weight` is f32 on Cuda") && text.contains("`to_device(&Device::Cpu)`"),
        "{text}"
    );
}

#[test]
fn a_learning_rate_that_is_no_number_is_refused() {
    let (mut optimizer, a, b) = make(Sgd::default());
    assert!(matches!(
        optimizer.step_at(&grads_of(&[&a, &b]), f64::NAN),
        Err(Error::Setting { name: "lr", .. })
    ));
    assert_eq!(values(&a), [1.0, -2.0, 0.5]);
}
