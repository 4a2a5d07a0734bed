# SPDX-License-Identifier: MIT
"""The Python module: the command's bits, failures as exceptions, arrays shared, nothing that outlives its owner."""
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest

import numpy as np

import guided

COMMAND = os.environ["GUIDED_BINARY"]
FASHION = os.path.join(os.environ["GUIDED_MODELS"], "fashion32")


def file(name):
    return os.path.join(FASHION, name + ".safetensors")


def command(*words):
    done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"guided {' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


class WithModels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model, cls.classifier = guided.open(file("diffusion")), guided.open(file("classifier"))

    def setUp(self):
        self.addCleanup(os.chdir, os.getcwd())
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)


class TheCommandsBits(WithModels):
    def by_command(self, *words):
        command("sample", "-q", "--overwrite", "-m", file("diffusion"), "-o", self.path("out.npz"), *words)
        return np.load(self.path("out.npz"))["arr_0"]

    def test_guided_ddim(self):
        pixels = self.by_command("-n", 12, "--steps", "ddim3", "--seed", 7, "-c", file("classifier"), "--scale", 2.5)
        np.testing.assert_array_equal(self.model.sample(12, steps="ddim3", seed=7, classifier=self.classifier, scale=2.5), pixels)

    def test_other_solvers_classes_and_numbers(self):
        for sampler, steps, seed in (("dpmpp-2m", 4, 0), ("heun", 3, 2 ** 63 + 1), ("ddpm", 3, 5)):
            pixels = self.by_command("-n", 2, "--first", 9, "--sampler", sampler, "--steps", steps, "--seed", seed,
                                     "--class", "ankle boot")
            ours = self.model.sample(2, "ankle boot", first=9, sampler=sampler, steps=steps, seed=seed)
            np.testing.assert_array_equal(ours, pixels, sampler)

    def test_bfloat16(self):
        pixels = self.by_command("--steps", "ddim2", "--seed", 3, "--class", 4, "--precision", "bf16")
        np.testing.assert_array_equal(self.model.sample(1, 4, steps="ddim2", seed=3, precision="bf16"), pixels)

    def test_every_option_of_the_sampler(self):
        given = [dict(sampler="dpmpp-2m", steps=4, spacing="logsnr"), dict(sampler="heun", steps=3, spacing="exponential", sigma_max=60, churn=3),
                 dict(steps="ddim4", threshold="dynamic"), dict(steps="ddim4", threshold="none"), dict(steps="ddim4", guidance_interval="0.5,20"),
                 dict(steps="ddim4", gradient_every=2), dict(steps="ddim4", gradient_every=2, hold_gradient=True), dict(fast=True, steps="4"),
                 dict(steps="ddim4", null_class=9, guidance_scale=2, guidance_rescale=0.5), dict(steps="ddim4", sampler="ddpm", clip_denoised=False)]
        seen = set()
        for options in given:
            words = [word for name, value in options.items() for word in
                     ([f"--{'' if value else 'no-'}{name.replace('_', '-')}"] if isinstance(value, bool) else [f"--{name.replace('_', '-')}", value])]
            pixels = self.by_command("-n", 2, "--seed", 7, "-c", file("classifier"), "--class", "3,7", *words)
            ours = self.model.sample(2, "3,7", seed=7, classifier=self.classifier, **options)
            np.testing.assert_array_equal(ours, pixels, str(options))
            seen.add(ours.tobytes())
        self.assertEqual(len(seen), len(given))

    def test_second_models(self):
        some = np.zeros((4, 32, 32, 1), np.uint8)
        guided.Trainer(some, preset="small32", seed=3).save(self.path("uncond.safetensors"))
        guided.Trainer(some, np.arange(4), classes=10, preset="small32", seed=4).save(self.path("weak.safetensors"))
        for option, name in (("uncond_model", "uncond.safetensors"), ("weaker_model", "weak.safetensors")):
            pixels = self.by_command("-n", 2, "--seed", 7, "--steps", "ddim3", f"--{option.replace('_', '-')}", self.path(name),
                                     "--guidance-scale", 1.5)
            other = guided.open(self.path(name))
            ours = self.model.sample(2, seed=7, steps="ddim3", guidance_scale=1.5, **{option: other})
            np.testing.assert_array_equal(ours, pixels, option)
            self.assertFalse((ours == self.model.sample(2, seed=7, steps="ddim3")).all())
        with self.assertRaisesRegex(guided.Error, "class-conditional"):
            self.model.sample(uncond_model=self.model, guidance_scale=2)

    def test_classes_as_the_command_takes_them(self):
        with open(self.path("names.txt"), "w", encoding="utf-8") as names:
            names.write("\n".join(f"kind {i}" for i in range(10)))
        for spec in ("2-4", "bag,#1", "random", "balanced"):
            np.testing.assert_array_equal(self.model.sample(5, spec, first=3, steps="ddim2", seed=6),
                                          self.by_command("-n", 5, "--first", 3, "--steps", "ddim2", "--seed", 6, "--class", spec), spec)
        np.testing.assert_array_equal(self.model.sample(2, "kind 8", steps="ddim2", labels=self.path("names.txt")), self.model.sample(2, "bag", steps="ddim2"))
        np.testing.assert_array_equal(self.model.sample(2, ["bag", 1], steps="ddim2"), self.model.sample(2, [8, 1], steps="ddim2"))
        for wrong in (["2-4", 1], ["random", 1]):
            with self.assertRaisesRegex(ValueError, "one class"):
                self.model.sample(2, wrong)

    def test_upsampler(self):
        base = guided.open(file("base8"))
        small = base.sample(2, 1, steps="ddim2", seed=4)
        np.savez(self.path("small.npz"), small, np.array([1, 1]))
        command("upsample", "-q", "-m", file("upsampler"), "--input", self.path("small.npz"), "--steps", "ddim2", "--seed", 6,
                "-o", self.path("big.npz"))
        big = guided.open(file("upsampler")).sample(2, 1, steps="ddim2", seed=6, low_res=small)
        np.testing.assert_array_equal(big, np.load(self.path("big.npz"))["arr_0"])

    def test_evaluation(self):
        ref, samples = self.model.sample(24, steps="ddim2"), self.model.sample(20, steps="ddim2", seed=1)
        np.savez(self.path("ref.npz"), ref)
        np.savez(self.path("samples.npz"), samples)
        line = command("eval", "-q", "--ref", self.path("ref.npz"), "--samples", self.path("samples.npz"), "--features",
                       file("classifier"), "--metrics", "is,fid,pr,kid,dc", "--json")
        features = guided.Features(classifier=self.classifier)
        scores = guided.evaluate(ref, samples, features, metrics=("is", "fid", "pr", "kid", "dc"))
        self.assertEqual(set(scores), {"inception_score", "fid", "precision", "recall", "kid", "kid_deviation", "density", "coverage"})
        self.assertEqual(scores, {name: json.loads(line)[name] for name in scores})
        mu, sigma = guided.statistics(features(ref))
        stored = guided.evaluate({"mu": mu, "sigma": sigma}, samples, features, metrics=("fid",))
        self.assertEqual(stored, {"fid": scores["fid"]})
        self.assertEqual(guided.frechet(features(samples), (mu, sigma)), scores["fid"])
        with self.assertRaisesRegex(ValueError, "without images"):
            guided.evaluate({"mu": mu, "sigma": sigma}, samples, features, metrics=("pr",))

    def test_evaluation_in_inceptions_features(self):
        command("init", "--kind", "inception", "--synthetic", self.path("inception.safetensors"))
        emoji = guided.open(os.path.join(os.environ["GUIDED_MODELS"], "emoji", "diffusion.safetensors"))
        sets = [emoji.sample(6, steps="ddim2", seed=seed) for seed in (1, 2)]
        for name, pixels in zip(("ref.npz", "samples.npz"), sets):
            np.savez(self.path(name), pixels)
        line = command("eval", "-q", "--ref", self.path("ref.npz"), "--samples", self.path("samples.npz"), "--inception",
                       self.path("inception.safetensors"), "--metrics", "is,sfid,pr", "--json")
        scores = guided.evaluate(*sets, guided.Features(inception=self.path("inception.safetensors")), metrics=("is", "sfid", "pr"))
        self.assertEqual(len(scores), 4)
        self.assertEqual(scores, {name: json.loads(line)[name] for name in scores})

    def test_evaluation_in_other_features(self):
        ref, samples = (self.model.sample(n, steps="ddim2", seed=seed) for n, seed in ((24, 0), (20, 1)))
        features = guided.Features(classifier=self.classifier)
        y, x = features(ref), features(samples)
        np.savez(self.path("ref.npz"), ref, np.arange(24) % 10)
        np.savez(self.path("samples.npz"), samples, np.arange(20) % 10)
        found = guided.eval(ref=self.path("ref.npz"), samples=self.path("samples.npz"), features=file("classifier"),
                            metrics="fid,fid-inf,memorization,vendi", per_class=True)
        self.assertEqual(guided.frechet_infinity(y, x), (found["fid_infinity"], found["fid_infinity_deviation"]))
        copies = guided.find_copies(y, x)
        self.assertEqual(copies["authenticity"], found["authenticity"])
        self.assertEqual([one["ratio"] for one in copies["nearest"]], [one["ratio"] for one in found["nearest_pairs"]][:8])
        self.assertEqual(guided.vendi(x), found["vendi"])
        classes = guided.compare_classes(y, np.arange(24) % 10, x, np.arange(20) % 10)
        self.assertEqual([one["distance"] for one in classes], [one["fid"] for one in found["classes"]])
        self.assertEqual(guided.find_copies(y, y)["authenticity"], 0)

    def test_dialects(self):
        command("init", "--kind", "inception", "--synthetic", self.path("inception.safetensors"))
        emoji = guided.open(os.path.join(os.environ["GUIDED_MODELS"], "emoji", "diffusion.safetensors"))
        pixels = emoji.sample(2, steps="ddim2")
        rows = [guided.Features(inception=self.path("inception.safetensors"), dialect=dialect)(pixels) for dialect in ("adm", "clean-fid")]
        self.assertGreater(np.abs(rows[0] - rows[1]).max(), 0)
        np.testing.assert_array_equal(guided.Features(self.path("inception.safetensors"))(pixels), rows[0])
        with self.assertRaisesRegex(guided.Error, "clean-fid"):
            guided.Features(inception=self.path("inception.safetensors"), dialect="clean")(pixels)
        with self.assertRaises(TypeError):
            guided.Features(self.path("inception.safetensors"), dialect="edm")

    def test_training(self):
        pixels = self.model.sample(10, steps="ddim2")
        trainer = guided.Trainer(pixels, np.arange(10), preset="small32", batch_size=2, seed=1)
        losses = [trainer.step() for _ in range(2)]
        again = guided.Trainer(pixels, np.arange(10), preset="small32", batch_size=2, seed=1)
        self.assertEqual(losses, [again.step() for _ in range(2)])
        trainer.save(self.path("mine.safetensors"))
        mine = guided.open(self.path("mine.safetensors"))
        self.assertEqual((mine.channels, mine.classes, mine.kind), (1, 10, "diffusion"))
        with self.assertRaisesRegex(ValueError, "32, 32"):
            guided.Trainer(pixels[:, :16, :16], preset="small32")


class Sampling(WithModels):
    def test_an_image_depends_on_its_number_alone(self):
        many = self.model.sample(3, 2, steps="ddim2", eta=1, batch=2, seed=8)
        np.testing.assert_array_equal(self.model.sample(1, 2, first=1, steps="ddim2", eta=1, seed=8), many[1:2])
        floats = self.model.sample(3, 2, steps="ddim2", eta=1, seed=8, dtype=np.float32)
        self.assertEqual(floats.shape, (3, 1, 32, 32))
        np.testing.assert_array_equal(((floats + 1) * np.float32(127.5)).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1), many)

    def test_any_number_of_threads(self):
        one, two = guided.Context(threads=1), guided.Context(threads=2)
        self.assertEqual((one.threads, two.threads), (1, 2))
        pixels = [guided.open(file("diffusion"), context).sample(2, steps="ddim2") for context in (one, two)]
        np.testing.assert_array_equal(*pixels)

    def test_progress(self):
        seen = []
        self.model.sample(2, steps="ddim3", progress=lambda *given: seen.append(given))
        self.assertEqual(seen, [(done, 6, "calls") for done in range(7)])

    def test_what_progress_raises_ends_the_run(self):
        def stop(done, total, unit):
            if done == 2:
                raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.model.sample(2, steps="ddim3", progress=stop)
        self.model.sample(1, steps="ddim3")

    def test_cancel_from_another_thread(self):
        started = threading.Event()
        threading.Thread(target=lambda: started.wait() and self.model.context.cancel()).start()
        with self.assertRaises(guided.Error) as failed:
            self.model.sample(100, steps=250, progress=lambda *_: started.set())
        self.assertEqual((failed.exception.status, failed.exception.exit_status), (guided.Status.EINTERRUPTED, 130))
        self.model.sample(1, steps="ddim2")

    def test_other_threads_run_meanwhile(self):
        counted, ended = [0], threading.Event()

        def count():
            while not ended.is_set():
                counted[0] += 1
                ended.wait(0.001)

        other = threading.Thread(target=count)
        other.start()
        before = counted[0]
        rows = np.random.default_rng(0).standard_normal((2500, 512), np.float32)
        guided.compare(rows, rows)
        after = counted[0]
        ended.set()
        other.join()
        self.assertGreater(after - before, 2)

    def test_guidance_of_ones_own(self):
        seen = []

        def pull(x, t, y):
            seen.append((x.shape, float(t), y))
            return 500 * (1 - x)

        plain = self.model.sample(1, 3, steps="ddim5", dtype=np.float32)
        pulled = self.model.sample(1, 3, steps="ddim5", dtype=np.float32, gradient=pull, scale=1)
        self.assertGreater(pulled.mean(), plain.mean())
        self.assertEqual((seen[0][0], seen[0][2], len(seen)), ((1, 32, 32), 3, 5))
        with self.assertRaises(ZeroDivisionError):
            self.model.sample(1, 3, steps="ddim5", gradient=lambda x, t, y: 1 / 0, scale=1)
        with self.assertRaisesRegex(ValueError, "gradient: expected shape"):
            self.model.sample(1, 3, steps="ddim5", gradient=lambda x, t, y: x[0], scale=1)
        with self.assertRaisesRegex(guided.Error, "one gradient"):
            self.model.sample(1, 3, steps="ddim5", gradient=pull, classifier=self.classifier)
        unguided = self.model.sample(1, 3, steps="ddim5", dtype=np.float32, scale=1)
        np.testing.assert_array_equal(unguided, plain)

    def test_what_outlives_whom(self):
        model = guided.open(file("diffusion"), guided.Context())
        model.sample(1, steps="ddim2", classifier=guided.open(file("classifier"), model.context))
        model.denoise(np.zeros((1, 32, 32)), 1, 0)
        features = guided.Features(classifier=guided.open(file("classifier"), guided.Context()))
        features(np.zeros((2, 32, 32, 1), np.uint8))
        del model, features
        gc.collect()


class Denoising(WithModels):
    def test_batch_and_single(self):
        x = np.random.default_rng(1).standard_normal((3, 1, 32, 32)).astype(np.float32)
        together = self.model.denoise(x, [0.5, 1, 2], [1, 2, 3])
        for i, sigma in enumerate((0.5, 1, 2)):
            np.testing.assert_array_equal(self.model.denoise(x[i], sigma, i + 1), together[i])

    def test_vjp_is_the_derivative(self):
        rng = np.random.default_rng(2)
        x, v, direction = rng.standard_normal((3, 1, 32, 32))
        x0, gradient = self.model.vjp(x, 1.0, v, 5)
        np.testing.assert_allclose(x0, self.model.denoise(x, 1.0, 5), atol=1e-4)
        h = 1e-2
        numeric = (v * (self.model.denoise(x + h * direction, 1.0, 5).astype(float) -
                        self.model.denoise(x - h * direction, 1.0, 5))).sum() / (2 * h)
        self.assertAlmostEqual((gradient * direction).sum(), numeric, delta=0.02 * np.abs(gradient * direction).sum() ** 0.5 + 0.02)


class WhatCannotBe(WithModels):
    def refused(self, kind, text, work):
        with self.assertRaises(kind) as failed:
            work()
        self.assertRegex(str(failed.exception), text)
        return failed.exception

    def test_failures_of_the_library(self):
        missing = self.refused(guided.Error, "nowhere.pt", lambda: guided.open(self.path("nowhere.pt")))
        self.assertEqual((missing.status, missing.exit_status), (guided.Status.EFORMAT, 3))
        unknown = self.refused(guided.Error, "did you mean steps", lambda: self.model.sample(stepz=3))
        self.assertEqual(unknown.status, guided.Status.EUSAGE)
        self.refused(guided.Error, "label 10 is outside", lambda: self.model.sample(class_=10))
        self.refused(guided.Error, "low-resolution", lambda: guided.open(file("upsampler")).sample())
        self.refused(guided.Error, "sigma 0", lambda: self.model.denoise(np.zeros((1, 32, 32)), 0, 1))
        small = guided.Context(memory_limit=1 << 20)
        full = self.refused(guided.Error, "memory", lambda: guided.open(file("diffusion"), small).sample(steps="ddim2"))
        self.assertEqual(full.status, guided.Status.ENOMEM)

    def test_arrays_that_do_not_fit(self):
        features = guided.Features(classifier=self.classifier)
        self.refused(ValueError, r"x: expected shape \[n, 1, 32, 32\]", lambda: self.model.denoise(np.zeros((2, 3, 32, 32)), 1))
        self.refused(TypeError, "uint8", lambda: features(np.zeros((2, 32, 32, 1))))
        self.refused(ValueError, "pixels", lambda: features(np.zeros((2, 32, 32, 3), np.uint8)))
        self.refused(ValueError, "pixels", lambda: features(np.zeros((2, 16, 32, 1), np.uint8)))
        self.refused(ValueError, "class_", lambda: self.model.sample(3, [1, 2]))
        self.refused(TypeError, "whole numbers", lambda: self.model.sample(1, 1.5))
        self.refused(guided.Error, "no such class", lambda: self.model.sample(1, "boot"))
        self.refused(ValueError, "metrics", lambda: guided.evaluate([], [], features, metrics=("fids",)))
        self.refused(guided.Error, "precision", lambda: self.model.sample(precision="fp16"))

    def test_contiguous_arrays_are_shared(self):
        pixels = np.zeros((2, 32, 32, 1), np.uint8)
        self.assertIs(guided._array(pixels, np.uint8, (None,) * 4, "pixels"), pixels)
        self.assertEqual(guided._array(pixels[:, ::2], np.uint8, (None,) * 4, "pixels").shape, (2, 16, 32, 1))

    def test_notices_go_to_the_log(self):
        lines = []
        context = guided.Context(log=lambda level, line: lines.append((level, line)), log_level="info")
        classifier = guided.open(file("classifier"), context)
        some = np.zeros((4, 32, 32, 1), np.uint8)
        guided.evaluate(some, some, guided.Features(classifier=classifier), metrics=("fid",))
        self.assertTrue(any(level == "note" and "biased" in line for level, line in lines), lines)


class Verbs(WithModels):
    """The command's verbs as functions"""

    def test_the_commands_files(self):
        options = {"steps": "ddim3", "seed": 7, "class_": "bag,ankle boot", "num": 3, "model": "fashion32"}
        seen, lines = [], []
        found = guided.sample(output=self.path("job.npz"), progress=lambda *given: seen.append(given), text=lines.append, **options)
        self.assertEqual((found["images"], found["seed"], found["output"]), (3, 7, self.path("job.npz")))
        self.assertEqual(json.loads(lines[-1]), found)
        self.assertEqual(seen[-1], (9, 9, "steps"))
        command("sample", "-q", "-m", "fashion32", "--steps", "ddim3", "--seed", 7, "--class", "bag,ankle boot", "-n", 3, "-o",
                self.path("command.npz"))
        with open(self.path("job.npz"), "rb") as a, open(self.path("command.npz"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_previews(self):
        seen = []
        guided.sample(model="fashion32", class_=3, steps="ddim3", seed=1, output=self.path("x.npz"), preview=seen.append)
        self.assertEqual([(call.call, call.calls, call.stage, call.label) for call in seen], [(k, 3, 0, 3) for k in (1, 2, 3)])
        self.assertEqual((seen[0].x0.shape, seen[0].gradient.shape, seen[0].logits.shape), ((1, 32, 32), (1, 32, 32), (10,)))
        last = ((seen[-1].x0 + 1) * np.float32(127.5)).clip(0, 255).astype(np.uint8)
        np.testing.assert_array_equal(last.transpose(1, 2, 0), np.load(self.path("x.npz"))["arr_0"][0])

    def test_arrays_in_place_of_files(self):
        pixels = self.model.sample(20, steps="ddim2")
        y = pixels[0].reshape(8, 4, 8, 4).mean((1, 3)).astype(np.float32)[None] / 127.5 - 1
        found = guided.restore(measurement=y, operator="box_down:4", class_=0, steps=5, seed=1, output=self.path("r"))
        self.assertLess(found["residual_rms"], 1e-6)
        scores = guided.eval(ref=pixels, samples=pixels[:10], features=file("classifier"), metrics="fid,pr")
        ours = guided.evaluate(pixels, pixels[:10], guided.Features(classifier=self.classifier), metrics=("fid", "pr"))
        self.assertEqual({name: scores[name] for name in ours}, ours)
        guided.train(data=(pixels, np.arange(20) % 10), preset="small32", batch_size=2, iterations=1, seed=1, out=self.path("run"))
        self.assertEqual(guided.open(self.path("run")).classes, 10)

    def test_results_as_arrays(self):
        os.chdir(self.folder)
        image = self.model.sample(1, 3, steps="ddim5", dtype=np.float32)[0]
        y = image.reshape(1, 8, 4, 8, 4).mean((2, 4))
        options = dict(measurement=y, operator="box_down:4", class_=3, num=2, steps=5, seed=1)
        found = guided.restore(**options)
        self.assertEqual((found["samples"].shape, found["mean"].shape, found["std"].shape), ((2, 1, 32, 32), (1, 32, 32), (1, 32, 32)))
        np.testing.assert_allclose(found["samples"].mean(0), found["mean"], atol=1e-6)
        self.assertFalse(os.listdir("."))
        written = guided.restore(output="r", **options)
        np.testing.assert_array_equal(np.load("r/mean.npy"), found["mean"])
        np.testing.assert_array_equal(written["samples"], found["samples"])
        cleaned = guided.purify(image=image, class_=3, t=20, steps=4, seed=1)
        self.assertEqual(cleaned["samples"].shape, (1, 1, 32, 32))
        other = guided.img2img(image=image, class_="bag", strength=0.5, steps="ddim10", num=2, seed=1)
        self.assertEqual(other["samples"].shape, (2, 1, 32, 32))
        back = guided.invert(image=image, class_=3, steps="ddim10")
        self.assertEqual(sorted(name for name in back if hasattr(back[name], "shape")), ["error", "latent", "reconstruction"])
        np.testing.assert_allclose(back["error"], np.abs(back["reconstruction"] - image), atol=1e-6)
        gradient = guided.purify(image=image, class_=3, t=20, steps=4, seed=1, cotangent=np.ones((1, 32, 32), np.float32))
        np.testing.assert_array_equal(gradient["result"], cleaned["samples"][0])
        self.assertEqual(gradient["gradient"].shape, (1, 32, 32))
        failed = subprocess.run([COMMAND, "invert", "--image", "r/mean.npy", "--class", "3", "-o", "-"], capture_output=True, text=True)
        self.assertEqual((failed.returncode, "several files" in failed.stderr), (2, True), failed.stderr)
        os.mkdir("y")
        np.save("y/1.npy", y)
        with self.assertRaisesRegex(guided.Error, "folder of measurements"):
            guided.restore(measurement="y", operator="box_down:4")

    def test_partial_results(self):
        pixels, parts = self.model.sample(20, steps="ddim2"), []
        found = guided.eval(ref=pixels, samples=pixels[:16], features=file("classifier"), metrics="fid", partial=parts.append)
        self.assertEqual([(part["metric"], part["samples"], part["total"]) for part in parts], [("fid", n, 16) for n in (2, 4, 8, 12)])
        half = guided.eval(ref=pixels, samples=pixels[:8], features=file("classifier"), metrics="fid")
        self.assertAlmostEqual(parts[2]["value"], half["fid"], places=8)
        self.assertNotIn("partial", found)

    def test_a_verb_by_its_name(self):
        self.assertEqual(guided.run("info", file("classifier")), guided.info(file("classifier")))
        with self.assertRaisesRegex(ValueError, "there are .*train-classifier"):
            guided.run("smaple")
        names = {kind["name"] for kind in json.loads(guided._lib.guided_jobs_json())} - {"completion", "help", "version", "serve"}
        for name in names:
            self.assertIn("Options:", getattr(guided, name.replace("-", "_")).__doc__, name)

    def test_files_as_words(self):
        self.assertIsNone(guided.convert(file("classifier"), self.path("half.safetensors"), dtype="bf16"))
        self.assertEqual(guided.info(self.path("half.safetensors"))["classes"], 10)
        self.assertEqual(guided.open("fashion32").hash(), self.model.hash())

    def test_failures(self):
        with self.assertRaisesRegex(guided.Error, "did you mean --steps") as failed:
            guided.sample(stepz=3)
        self.assertEqual(failed.exception.exit_status, 2)
        with self.assertRaisesRegex(guided.Error, "nowhere.pt"):
            guided.info("nowhere.pt")
        with self.assertRaises(AttributeError):
            guided.sampel()

    def test_stopping(self):
        def stop(done, total, unit):
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            guided.sample(model="fashion32", num=50, steps=250, output=self.path("x.npz"), progress=stop)
        code = ("import guided, os, signal, sys\n"
                "try: guided.sample(model='fashion32', num=2000, steps=250, output='x.npz',"
                " progress=lambda done, *_: done == 3 and os.kill(os.getpid(), signal.SIGINT))\n"
                "except KeyboardInterrupt: print('stopped')\n"
                "print(guided.sample(model='fashion32', steps='ddim2', output='y.npz')['images'])")
        done = subprocess.run([sys.executable, "-c", code], cwd=self.folder, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.stdout.split(), ["stopped", "1"], done.stderr)

    def test_every_verb_is_described(self):
        for verb in ("sample", "upsample", "restore", "train", "train_classifier", "nll", "eval", "info", "convert", "verify"):
            self.assertIn("Options:", getattr(guided, verb).__doc__)
            self.assertIn(verb, dir(guided))
        self.assertIn("batch_size:", guided.train.__doc__)


class Descriptions(unittest.TestCase):
    def test_docstrings_come_from_the_tables(self):
        for word in ("steps:", "sigma_max:", "ancestral"):
            self.assertIn(word, guided.Model.sample.__doc__)
        self.assertIn("dpmpp-2m", [solver["name"] for solver in guided.solvers()])
        self.assertEqual(guided.version(), command("--version").split()[1])

    def test_everything_public_is_described(self):
        for name in guided.__all__:
            self.assertTrue(getattr(guided, name).__doc__, name)


if __name__ == "__main__":
    unittest.main()
