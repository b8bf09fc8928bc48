//! What a step's logits say of the hypotheses that go on: the likeliest symbols and their log probabilities.
use super::order::Order;
use crate::call::kind;
use crate::error::{Code, Fault};
use crate::kernels::context;
use quarterturn_kernels::likeliest::{self, Forward, NONE};
use tch::{Device, Kind, Tensor};

pub struct Rows<'a> {
    active: &'a [usize],
    width: usize,
    /// [N, V] on the CPU, float32 or float64, where single entries are asked for.
    logits: Option<Tensor>,
    k: usize,
    /// For each active row the likeliest k: entries of x, whose log probabilities are x - `log_sums`.
    values: Vec<f64>,
    indices: Vec<u32>,
    log_sums: Vec<f64>,
}

impl<'a> Rows<'a> {
    /// `single`: whether single entries will be asked for.
    pub fn new(logits: &Tensor, active: &'a [usize], order: &Order, single: bool) -> Result<Self, Fault> {
        let width = usize::try_from(logits.size()[1]).map_err(|_| Fault::engine("a negative width"))?;
        let k = if order.sampling.is_some() { 1 } else { (order.beam + order.banned.len()).min(width) };
        let mut rows = Self { active, width, logits: None, k, values: Vec::new(), indices: Vec::new(), log_sums: Vec::new() };
        if logits.device() == Device::Cpu || single || order.sampling.is_some() {
            rows.here(logits)?;
        } else {
            rows.there(logits)?;
        }
        if rows.log_sums.iter().any(|sum| !sum.is_finite()) || rows.values.iter().any(|value| value.is_nan()) {
            return Err(Fault::new(Code::NotFinite, "the logits of a step are not finite: NaN, +infinity, or -infinity for every symbol"));
        }
        Ok(rows)
    }

    /// By our kernel.
    fn here(&mut self, logits: &Tensor) -> Result<(), Fault> {
        let double = kind(logits)? == Kind::Double;
        let x = logits.f_to_device(Device::Cpu)?.f_to_kind(if double { Kind::Double } else { Kind::Float })?.f_contiguous()?;
        let count = self.active.len();
        self.indices = vec![NONE; count * self.k];
        self.log_sums = vec![0.0; count];
        if double {
            self.values = vec![0.0; count * self.k];
            let all = numbers::<f64>(&x);
            for (at, row) in self.active.iter().enumerate() {
                let kept = at * self.k..(at + 1) * self.k;
                let row = &all[row * self.width..][..self.width];
                self.log_sums[at] = likeliest::reference::row(row, &mut self.values[kept.clone()], &mut self.indices[kept]);
            }
        } else {
            let mut values = vec![0f32; count * self.k];
            let buffers = Forward {
                x: numbers(&x),
                rows: self.active,
                values: &mut values,
                indices: &mut self.indices,
                log_sums: &mut self.log_sums,
            };
            likeliest::forward(&context(), self.width, self.k, buffers).map_err(|error| Fault::engine(error.to_string()))?;
            self.values = values.into_iter().map(f64::from).collect();
        }
        self.logits = Some(x);
        Ok(())
    }

    /// Where the logits are, by libtorch: only what is chosen comes over.
    fn there(&mut self, logits: &Tensor) -> Result<(), Fault> {
        let wide = if kind(logits)? == Kind::Double { Kind::Double } else { Kind::Float };
        let (values, indices) = logits.f_log_softmax(-1, wide)?.f_topk(self.k as i64, 1, true, true)?;
        let (values, indices) = (values.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?, indices.f_to_device(Device::Cpu)?);
        let (values, indices) = (values.f_contiguous()?, indices.f_contiguous()?);
        let (all, places) = (numbers::<f64>(&values), numbers::<i64>(&indices));
        for row in self.active {
            let kept = row * self.k..(row + 1) * self.k;
            self.values.extend_from_slice(&all[kept.clone()]);
            let found = all[kept.clone()].iter().zip(&places[kept]);
            self.indices
                .extend(found.map(|(value, place)| if *value == f64::NEG_INFINITY { NONE } else { u32::try_from(*place).unwrap_or(NONE) }));
        }
        self.log_sums = vec![0.0; self.active.len()];
        Ok(())
    }

    /// Symbols and log probabilities, the likeliest first.
    pub fn likeliest(&self, at: usize) -> impl Iterator<Item = (i64, f64)> {
        let kept = at * self.k..(at + 1) * self.k;
        let found = self.indices[kept.clone()].iter().zip(&self.values[kept]);
        found.filter(|(index, _)| **index != NONE).map(move |(index, value)| (i64::from(*index), value - self.log_sums[at]))
    }

    /// The logits of an active row.
    pub fn row(&self, at: usize) -> Vec<f64> {
        let range = self.active[at] * self.width..(self.active[at] + 1) * self.width;
        match &self.logits {
            Some(x) if x.kind() == Kind::Double => numbers::<f64>(x)[range].to_vec(),
            Some(x) => numbers::<f32>(x)[range].iter().copied().map(f64::from).collect(),
            None => Vec::new(),
        }
    }

    /// log p of one symbol.
    pub fn logarithm(&self, at: usize, id: i64) -> Result<f64, Fault> {
        let place = usize::try_from(id).ok().filter(|id| *id < self.width).map(|id| self.active[at] * self.width + id);
        let value = place
            .zip(self.logits.as_ref())
            .map(|(place, x)| if x.kind() == Kind::Double { numbers::<f64>(x)[place] } else { f64::from(numbers::<f32>(x)[place]) });
        value
            .map(|value| value - self.log_sums[at])
            .ok_or_else(|| Fault::new(Code::Range, format!("there is no symbol {id} among {}", self.width)))
    }
}

/// The elements of a contiguous CPU tensor of this type.
fn numbers<T>(x: &Tensor) -> &[T] {
    if x.numel() == 0 {
        return &[];
    }
    // SAFETY: the tensors here were made contiguous, on the CPU and of the type that is read, and nobody writes them.
    unsafe { std::slice::from_raw_parts(x.data_ptr().cast::<T>().cast_const(), x.numel()) }
}
