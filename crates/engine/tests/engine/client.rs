//! A client of the engine as TypeScript is one: writes entries, hands them over, waits for replies.
use quarterturn_engine::{Environment, Failure, Payload, Reply, names};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const CPU: f64 = -1.0;
pub const F32: f64 = 0.0;

pub struct Client {
    pub environment: Arc<Environment>,
    codes: HashMap<&'static str, f64>,
    words: Vec<f64>,
    replies: Receiver<Reply>,
    pub failures: Vec<Arc<Failure>>,
    answers: HashMap<u64, Result<Vec<u8>, Arc<Failure>>>,
    next: u64,
    pub order: Vec<u64>,
}

impl Client {
    pub fn new() -> Self {
        let (sender, replies) = channel();
        let sender = Mutex::new(sender);
        let environment = Environment::start(Box::new(move |reply| {
            let _ = sender.lock().unwrap().send(reply);
        }));
        let codes = names().into_iter().enumerate().map(|(code, name)| (name, f64::from(u16::try_from(code).unwrap()))).collect();
        Self {
            environment: environment.unwrap(),
            codes,
            words: Vec::new(),
            replies,
            failures: Vec::new(),
            answers: HashMap::new(),
            next: 1_000_000,
            order: Vec::new(),
        }
    }

    pub fn id(&mut self) -> f64 {
        self.next += 1;
        f64::from(u32::try_from(self.next).unwrap())
    }

    /// Words of one entry.
    pub fn entry(&self, op: &str, inputs: &[f64], outputs: &[f64], attributes: &[f64]) -> Vec<f64> {
        let length = |list: &[f64]| f64::from(u32::try_from(list.len()).unwrap());
        let mut words = vec![self.codes[op], length(inputs)];
        words.extend(inputs);
        words.push(length(outputs));
        words.extend(outputs);
        words.push(length(attributes));
        words.extend(attributes);
        words
    }

    /// Writes an entry with one output and returns its id.
    pub fn op(&mut self, op: &str, inputs: &[f64], attributes: &[f64]) -> f64 {
        let output = self.id();
        self.many(op, inputs, &[output], attributes);
        output
    }

    pub fn many(&mut self, op: &str, inputs: &[f64], outputs: &[f64], attributes: &[f64]) {
        let words = self.entry(op, inputs, outputs, attributes);
        self.words.extend(words);
    }

    pub fn tensor(&mut self, values: &[f32]) -> f64 {
        let staged = self.environment.stage(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        let shape = [f64::from(u32::try_from(staged).unwrap()), F32, CPU, 1.0, f64::from(u32::try_from(values.len()).unwrap())];
        self.op("fromBytes", &[], &shape)
    }

    pub fn variable(&mut self, values: &[f32]) -> f64 {
        let x = self.tensor(values);
        self.op("variable", &[x], &[1.0])
    }

    pub fn scalar(&mut self, value: f64) -> f64 {
        self.op("full", &[], &[value, F32, CPU, 0.0])
    }

    pub fn flush(&mut self, lane: u32) -> bool {
        let words = std::mem::take(&mut self.words);
        self.environment.submit(lane, &words, 0, 0.0).unwrap()
    }

    /// Hands a request over and returns its number without waiting.
    pub fn ask(&mut self, op: &str, inputs: &[f64], lane: u32) -> u64 {
        let request = self.id();
        self.many(op, inputs, &[], &[request]);
        self.flush(lane);
        self.next
    }

    /// Waits for the answer to a request.
    pub fn answer(&mut self, request: u64) -> Result<Vec<u8>, Arc<Failure>> {
        loop {
            if let Some(answer) = self.answers.remove(&request) {
                return answer;
            }
            let (request, answer) = match self.replies.recv_timeout(Duration::from_secs(30)).expect("the engine did not answer") {
                Reply::Value { request, payload: Payload::Bytes(bytes) } => (request, Ok(bytes)),
                Reply::Value { request, .. } => (request, Ok(Vec::new())),
                Reply::Error { request, failure } => (request, Err(failure)),
                Reply::Failure(failure) => {
                    self.failures.push(failure);
                    continue;
                }
            };
            self.order.push(request);
            assert!(self.answers.insert(request, answer).is_none(), "two answers to one request");
        }
    }

    pub fn try_read(&mut self, id: f64) -> Result<Vec<f32>, Arc<Failure>> {
        let request = self.ask("read", &[id], 0);
        let bytes = self.answer(request)?;
        Ok(floats(&bytes))
    }

    pub fn read(&mut self, id: f64) -> Vec<f32> {
        self.try_read(id).unwrap()
    }

    pub fn settle(&mut self) {
        let request = self.ask("mark", &[], 0);
        self.answer(request).unwrap();
    }
}

pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}
