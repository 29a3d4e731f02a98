//! A part of a batch: the same bits as a step, told early, and nothing changed.

use super::{all_values, flat, images, targets, test_net, value};
use crate::loss::cross_entropy;

#[test]
fn a_part_gives_the_bits_of_a_step_and_leaves_the_statistics() {
    for frozen in [None, Some("blocks"), Some("bn1")] {
        let is_frozen = |name: &str| frozen.is_some_and(|frozen| name.starts_with(frozen));
        let [mut step, mut part] = [test_net(0.3), test_net(0.3)];
        step.set_frozen(is_frozen);
        part.set_frozen(is_frozen);
        let before = all_values(&part);
        let mut told = Vec::new();
        let loss =
            |outputs: &crate::NamedTensors| cross_entropy(outputs.single()?, &targets(), 0.1);
        let given = part
            .value_and_grad_part(&images(), 7, loss, &mut |index, grad| {
                told.push((index, grad.to_vec()));
            })
            .unwrap();
        let expected = value(&step, 7);
        assert_eq!(all_values(&part), before);
        assert_eq!(flat(&given.value.loss), flat(&expected.loss));
        let order: Vec<usize> = told.iter().map(|(index, _)| *index).collect();
        assert_eq!(part.gradient_order().unwrap(), order);
        let trained = step.trainable();
        assert_eq!(order.len(), trained.len());
        for (index, grad) in &told {
            let var = &step.params()[*index].var;
            assert_eq!(*grad, flat(expected.grads.get(var).unwrap()));
        }
        let statistics: Vec<usize> = given.statistics.iter().map(|(index, _)| *index).collect();
        assert_eq!(part.statistics_order().unwrap(), statistics);
        assert!(!statistics.is_empty());
        part.set_values(&given.statistics).unwrap();
        assert_eq!(all_values(&part), all_values(&step));
        assert!(part.set_values(&[(1000, vec![])]).is_err());
        assert!(part.set_values(&[(statistics[0], vec![1.0])]).is_err());
    }
}
