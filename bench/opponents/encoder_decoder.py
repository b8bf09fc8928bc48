"""The model of the seq2seq benches: two LSTMs with multiplicative attention (Luong et al. 2015)."""

import torch

VOCABULARY, WIDTH, LAYERS, EOS = 8000, 256, 2, 1


class EncoderDecoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.source_embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.target_embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.encoder = torch.nn.LSTM(WIDTH, WIDTH, num_layers=LAYERS, batch_first=True)
        self.decoder = torch.nn.LSTM(WIDTH, WIDTH, num_layers=LAYERS, batch_first=True)
        self.combine = torch.nn.Linear(2 * WIDTH, WIDTH, bias=False)
        self.key = torch.nn.Linear(WIDTH, WIDTH, bias=False)
        self.head = torch.nn.Linear(WIDTH, VOCABULARY)

    def forward(self, source, target):
        memory, state = self.encoder(self.source_embedding(source.flip(1)))
        before = torch.cat([torch.full_like(target[:, :1], EOS), target[:, :-1]], 1)
        query, _ = self.decoder(self.target_embedding(before), state)
        weights = torch.softmax(query @ self.key(memory).transpose(1, 2), -1)
        return self.head(torch.tanh(self.combine(torch.cat([weights @ memory, query], 2))))
