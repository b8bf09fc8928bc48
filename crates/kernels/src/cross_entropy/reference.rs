//! Cross entropy as it is defined, in float64: specification, oracle and the float64 path.

use super::{Options, Shape};
use crate::Error;

/// The loss of each row.
pub fn forward(shape: &Shape, options: Options, x: &[f64], target: &[i64]) -> Result<Vec<f64>, Error> {
    shape.check(options, x.len(), target)?;
    let rows = x.chunks_exact(shape.classes.max(1)).zip(target);
    let mut losses: Vec<f64> = rows
        .map(|(x, class)| {
            let Some(class) = options.class(*class) else { return 0.0 };
            let log_sum = log_sum(x);
            let even = x.iter().map(|x| log_sum - x).sum::<f64>() / x.len() as f64;
            let smooth = if options.smoothing > 0.0 { options.smoothing * even } else { 0.0 };
            (1.0 - options.smoothing) * (log_sum - x[class]) + smooth
        })
        .collect();
    losses.resize(shape.rows, 0.0); // without classes every row is ignored
    Ok(losses)
}

/// The gradient of x from those of the losses.
pub fn backward(shape: &Shape, options: Options, x: &[f64], target: &[i64], dlosses: &[f64]) -> Result<Vec<f64>, Error> {
    shape.check(options, x.len(), target)?;
    Error::check(super::NAME, "dlosses", "N", shape.rows, dlosses.len())?;
    let rows = x.chunks_exact(shape.classes.max(1)).zip(target).zip(dlosses);
    Ok(rows
        .flat_map(|((x, class), d)| {
            let class = options.class(*class);
            let (log_sum, smoothing) = (log_sum(x), options.smoothing / x.len() as f64);
            x.iter().enumerate().map(move |(v, x)| match class {
                None => 0.0,
                Some(class) if class == v => d * ((x - log_sum).exp() - (1.0 - options.smoothing) - smoothing),
                Some(_) => d * ((x - log_sum).exp() - smoothing),
            })
        })
        .collect())
}

fn log_sum(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}
