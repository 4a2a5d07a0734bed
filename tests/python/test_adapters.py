# SPDX-License-Identifier: MIT
"""The adapters for PyTorch and deepinv, where these packages are installed; passed over elsewhere."""
import os
import unittest

import numpy as np

import guided

try:
    import torch
except ImportError:
    torch = None
try:
    import deepinv
except ImportError:
    deepinv = None

MODEL = os.path.join(os.environ["GUIDED_MODELS"], "fashion32", "diffusion.safetensors")


@unittest.skipIf(torch is None, "PyTorch is not installed")
class InPyTorch(unittest.TestCase):
    def setUp(self):
        self.model = guided.open(MODEL)
        self.module = guided.torch_module(self.model)
        self.x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))

    def test_it_computes_what_denoise_does(self):
        out = self.module(self.x, torch.tensor([0.5, 1.0]), torch.tensor([3, 4]))
        np.testing.assert_array_equal(out.numpy(), self.model.denoise(self.x.numpy(), [0.5, 1.0], [3, 4]))
        self.assertEqual(self.module(self.x.double(), 1.0, 3).dtype, torch.float64)

    def test_gradients_are_the_librarys(self):
        for x in (self.x, self.x[:1]):      # a batch runs again for its gradient, one image does not
            x = x.clone().requires_grad_()
            v = torch.ones_like(x)
            out = self.module(x, 1.0, 3)
            (gradient,) = torch.autograd.grad(out, x, v)
            np.testing.assert_array_equal(gradient.numpy(), self.model.vjp(x.detach().numpy(), 1.0, v.numpy(), 3)[1])

    def test_calls_between_forward_and_backward(self):
        x = self.x[:1].clone().requires_grad_()
        out = self.module(x, 1.0, 3).sum()
        self.module(x * 2, 1.0, 4)
        (gradient,) = torch.autograd.grad(out, x)
        np.testing.assert_array_equal(gradient.numpy(), self.model.vjp(x.detach().numpy(), 1.0, np.ones((1, 1, 32, 32)), 3)[1])

    def test_an_optimisation_descends(self):
        x = self.x.clone().requires_grad_()
        optimiser = torch.optim.Adam([x], lr=0.05)
        losses = []
        for _ in range(5):
            optimiser.zero_grad()
            loss = (self.module(x, 1.0, 3) - 0.5).square().mean()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        self.assertLess(losses[-1], losses[0])


@unittest.skipIf(deepinv is None, "deepinv is not installed")
class InDeepinv(unittest.TestCase):
    def setUp(self):
        self.model = guided.open(MODEL)
        self.denoiser = guided.deepinv_denoiser(self.model, y=8)
        self.clean = torch.from_numpy(self.model.sample(2, 8, steps="ddim10", seed=1)).permute(0, 3, 1, 2) / 255
        self.noise = torch.randn(self.clean.shape, generator=torch.Generator().manual_seed(2))

    def test_it_denoises(self):
        self.assertIsInstance(self.denoiser, deepinv.models.Denoiser)
        noisy = self.clean + 0.2 * self.noise
        error = (self.denoiser(noisy, 0.2) - self.clean).square().mean()
        self.assertLess(error, 0.2 * (noisy - self.clean).square().mean())
        mixed = self.denoiser(noisy, torch.tensor([0.0, 0.25]))
        self.assertTrue(torch.equal(mixed[0], noisy[0]))
        self.assertTrue(torch.equal(mixed[1:], self.denoiser(noisy[1:], 0.25)))

    def test_as_the_prior_of_its_samplers(self):
        mask = torch.ones(1, 32, 32)
        mask[:, 8:20, 8:20] = 0
        physics = deepinv.physics.Inpainting(img_size=(1, 32, 32), mask=mask, noise_model=deepinv.physics.GaussianNoise(0.01))
        measured = physics(self.clean)
        before = (measured - self.clean).square().mean()
        for sampler in (deepinv.sampling.DDRM(self.denoiser, sigmas=np.geomspace(8, 0.02, 20)),
                        deepinv.sampling.DiffPIR(self.denoiser, data_fidelity=deepinv.optim.L2(), max_iter=20, sigma=0.02)):
            torch.manual_seed(0)
            after = (sampler(measured, physics) - self.clean).square().mean()
            self.assertLess(after, 0.2 * before, type(sampler).__name__)


if __name__ == "__main__":
    unittest.main()
