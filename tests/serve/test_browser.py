#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The page in headless Chromium against the real server.  test_browser.py [FOLDER [PART...]]: screenshots go there."""
import os
import signal
import subprocess
import sys
import tempfile
import time

import webdriver
from server import Server, check, failures, finish


def make(page, steps, seed, **more):
    page.click("#tab-sample")
    page.choose("#sample-form select[name=class]", "#3")
    page.type("#sample-form input[name=steps]", steps)
    page.type("#sample-form input[name=seed]", str(seed))
    for name, value in more.items():
        page.type(f"#sample-form input[name={name}]", str(value))
    before = page.run("return document.getElementById('sample-result').dataset.job || ''")
    page.click("#sample-form button[type=submit]")
    page.wait(f"(document.getElementById('sample-result').dataset.job || '') !== '{before}'")


def ended(page, place, state="done"):
    page.wait(f"document.getElementById('{place}').dataset.state === '{state}'")


def picture_shown(page, selector):
    page.wait(f"document.querySelector({selector!r}) && document.querySelector({selector!r}).naturalWidth > 0")


def verified(page, place, text="equal"):
    page.click(f"#{place} .verify")
    page.wait(f"/{text}|different|error/.test(document.querySelector('#{place} .verify').parentElement.textContent)")
    said = page.text(f"#{place} .bar:last-child")
    check(text in said, f"{place}: made again and compared: {said}")


def thumbnails(page, place):
    """Until those of the strip that can be seen are there"""
    page.wait(f"[...document.querySelectorAll('#{place} .strip img')].filter(i => i.getBoundingClientRect().right > 0 && "
              "i.getBoundingClientRect().left < innerWidth && i.getBoundingClientRect().top < innerHeight).every(i => i.naturalWidth > 0)")


def from_click_to_picture(page, server, shots):
    begun = time.monotonic()
    make(page, "ddim25", 9)
    ended(page, "sample-result")
    picture_shown(page, "#sample-result .picture")
    print(f"from the click to the first picture: {time.monotonic() - begun:.2f} s", flush=True)
    check(time.monotonic() - begun < 5, "the first picture within 5 s")
    page.run("Object.defineProperty(navigator, 'clipboard', { value: { writeText: async text => { window.copied = text; } } })")
    page.click("#sample-result .bar:last-child button")
    page.wait("window.copied")
    check(page.run("return window.copied") == "guided sample --model fashion32 --class '#3' --steps ddim25 --num 1 --seed 9", "the command is copied")
    verified(page, "sample-result")
    check(page.run("return document.querySelectorAll('#sample-result .strip button').length") == 25, "a frame for each call")
    check(page.run("return document.querySelectorAll('#sample-result .top li').length") == 5, "the classifier's top five")
    page.click("#sample-result .strip button:nth-child(6)")
    check("call 6 of 25" in page.text("#sample-result .frame"), "a clicked frame is shown")
    check("dress" in page.text("#sample-result .top"), "classes have names")
    page.wait("[...document.querySelectorAll('#sample-result .frame img')].every(i => i.naturalWidth > 0)")
    page.run("document.querySelector('#sample-result h2').scrollIntoView()")
    thumbnails(page, "sample-result")
    shots("page-sample.png")


def branch_and_replay(page, server, shots):
    page.click("#sample-result .frame .branch")
    page.click("#replay")
    page.wait("document.getElementById('replay-status').textContent.startsWith('made again')")
    check("equal" in page.text("#replay-status"), page.text("#replay-status"))
    page.choose("#branch-form select[name=class]", "#8")
    page.type("#branch-form input[name=scale]", "4")
    page.click("#branch-form button[type=submit]")
    page.wait("document.querySelector('.branch-view') && document.querySelector('.branch-view').dataset.state === 'done'")
    picture_shown(page, ".branch-view .picture")
    first, branch = (page.run("return document.querySelector(arguments[0]).dataset.job", s) for s in ("#sample-result", ".branch-view"))
    options = server.ask("GET", f"/api/jobs/{branch}")[1]["options"]
    check(options["branch-call"] == "6" and options["branch-class"] == "#8" and options["branch-scale"] == "4", f"options of the branch: {options}")
    page.wait("document.querySelector('.shared').textContent")
    check("first 5 predictions" in page.text(".shared"), f"before the branch nothing changes: {page.text('.shared')}")
    check(server.ask("GET", f"/api/jobs/{first}/files/samples.png")[1] != server.ask("GET", f"/api/jobs/{branch}/files/samples.png")[1],
          "the branch makes another picture")
    check(page.run("return document.querySelectorAll('.branch-view .pair img').length") == 2, "the pictures stand side by side")
    page.run("document.getElementById('branch-form').scrollIntoView()")
    thumbnails(page, "branch-result")
    shots("page-branch.png")
    page.choose("#branch-form select[name=class]", "#3")
    page.type("#branch-form input[name=scale]", "1")
    page.choose("#branch-form select[name=sampler]", "heun")
    page.click("#branch-form button[type=submit]")
    page.wait("document.querySelectorAll('.branch-view').length === 2 && [...document.querySelectorAll('.branch-view')].every(b => b.dataset.state === 'done')")
    page.wait("document.querySelectorAll('.shared')[1].textContent")
    check("first 5 predictions" in page.run("return document.querySelectorAll('.shared')[1].textContent"), "another solver from the frame on")
    last = page.run("return document.querySelectorAll('.branch-view')[1].dataset.job")
    check(server.ask("GET", f"/api/jobs/{last}")[1]["options"]["branch-sampler"] == "heun", "by --branch-sampler")


def cancel(page, server, shots):
    make(page, "1000", 1, num=60)
    page.wait("document.querySelectorAll('#sample-result .strip button').length > 2")
    page.click("#sample-result .bar button")
    ended(page, "sample-result", "cancelled")


def reload_in_the_middle(page, server, shots):
    make(page, "250", 3, num=4)
    page.wait("document.querySelectorAll('#sample-result .strip button').length > 2")
    job = page.run("return document.getElementById('sample-result').dataset.job")
    page.send("POST", "/refresh", {})
    page.wait("document.body.dataset.ready === 'true'")
    page.wait(f"document.getElementById('sample-result').dataset.job === '{job}'")
    ended(page, "sample-result")
    picture_shown(page, "#sample-result .picture")
    check(page.run("return document.querySelectorAll('#sample-result .strip button').length") >= 200, "the whole strip after a reload")


def two_tabs(page, server, shots):
    first = page.send("GET", "/window")
    make(page, "100", 4, num=4)
    job = page.run("return document.getElementById('sample-result').dataset.job")
    other = page.new_tab()
    page.switch(other)
    page.open(f"{server.url}#sample/{job}")
    ended(page, "sample-result")
    frames = page.run("return document.querySelectorAll('#sample-result .strip button').length")
    page.send("DELETE", "/window")
    page.switch(first)
    ended(page, "sample-result")
    first = page.run("return document.querySelectorAll('#sample-result .strip button').length")
    check(frames == first == 100, f"both tabs show the same strip: {frames} and {first} predictions")


def kill_and_restart(page, server, shots):
    make(page, "250", 5, num=3)
    page.wait("document.querySelectorAll('#sample-result .strip button').length > 2")
    job = int(page.run("return document.getElementById('sample-result').dataset.job"))
    server.stop(signal.SIGKILL)
    server.start()
    ended(page, "sample-result")
    picture_shown(page, "#sample-result .picture")
    state = server.ask("GET", f"/api/jobs/{job}")[1]
    check(state["runs"] == 2 and state["state"] == "done", f"the job ran again: {state}")


def meter(page, server, shots):
    make(page, "250", 2, num=8)
    page.wait("/[0-9] GFLOP\\/s \\([0-9]+ % of this machine's peak\\)/.test(document.querySelector('#sample-result .bar').textContent)")
    page.wait("/ left, /.test(document.querySelector('#sample-result .bar').textContent)")
    page.click("#sample-result .bar button")
    ended(page, "sample-result", "cancelled")


def names_of_1000_classes(page, server, shots):
    page.run("const s = document.querySelector('#sample-form select[name=model]'); s.value = [...s.options].find(o => o.text.includes('imagenet')).value;"
             "s.dispatchEvent(new Event('change'))")
    names = page.run("return [...document.querySelectorAll('#sample-form datalist option')].map(o => [o.value, o.textContent])")
    values = [value for value, _ in names]
    check(len(names) == 1000 and ["golden retriever", "golden retriever, #207"] in names, f"ImageNet's names: {len(names)}, {names[205:209]}")
    check(len(set(values)) == 1000, "each class has a text of its own")
    page.type("#sample-form input[name=class]", "golden retriever")
    page.type("#sample-form input[name=steps]", "ddim2")
    page.click("#sample-form button[type=submit]")
    page.wait("document.getElementById('sample-result').dataset.job")
    page.wait("document.querySelector('#sample-result .strip button')")
    ended(page, "sample-result")
    job = page.run("return document.getElementById('sample-result').dataset.job")
    check(server.ask("GET", f"/api/jobs/{job}")[1]["options"]["class"] == "golden retriever", "a class by its name")
    page.choose("#sample-form select[name=model]", "fashion32")


def sheet(page, server, shots):
    page.click("#tab-sheet")
    page.choose("#sheet-form select[name=class]", "#9")
    page.click("#sheet-form button[type=submit]")
    page.wait("[...document.querySelectorAll('#sheet-result img')].filter(i => i.naturalWidth > 0).length === 12")
    shots("page-sheet.png")


def restore(page, server, shots):
    job = server.sample(seed=11, steps="ddim25")
    server.wait(job)
    path = server.folder + "/shirt.png"
    with open(path, "wb") as f:
        f.write(server.ask("GET", f"/api/jobs/{job}/files/samples.png")[1])
    page.click("#tab-restore")
    page.choose("#restore-form select[name=class]", "#3")
    page.type("#restore-form input[name=picture]", path)
    page.wait("!document.getElementById('paint').hidden")
    page.run("document.getElementById('canvas').focus()")
    page.keys("     ")
    for _ in range(6):
        page.keys(" \ue014 ")  # the right arrow
    page.click("#restore-form button[type=submit]")
    ended(page, "restore-result")
    picture_shown(page, "#restore-result .picture")
    page.run("document.getElementById('restore-form').scrollIntoView()")
    shots("page-restore.png")
    verified(page, "restore-result")


def images(server, seed):
    """An .npz of 12 garments of three classes"""
    path = f"{server.folder}/{seed}.npz"
    job = server.sample(**{"class": "0,1,2"}, num=12, seed=seed, output="x.npz")
    server.wait(job)
    with open(path, "wb") as f:
        f.write(server.ask("GET", f"/api/jobs/{job}/files/x.npz")[1])
    return path


def evaluate(page, server, shots):
    page.click("#tab-eval")
    page.type("#eval-form input[name=samples]", images(server, 1))
    page.type("#eval-form input[name=ref]", images(server, 2))
    page.click("#eval-form button[type=submit]")
    ended(page, "eval-result")
    check("fid" in page.text("#eval-result"), f"the table of metrics: {page.text('#eval-result')}")
    about = page.run("return document.querySelector('#eval-result svg').getAttribute('aria-label')")
    check(all(f" at {n}" in about for n in (2, 3, 6, 9, 12)) and about.count("±") == 5, f"FID as it converges: {about}")
    shots("page-eval.png")
    verified(page, "eval-result")


def train(page, server, shots):
    page.click("#tab-train")
    page.type("#train-form input[name=data]", images(server, 3))
    page.choose("#train-form select[name=channels]", "1")
    page.type("#train-form input[name=iterations]", "20")
    page.type("#train-form input[name=batch-size]", "2")
    page.click("#train-form button[type=submit]")
    ended(page, "train-result")
    check(page.run("return document.querySelectorAll('#train-result svg path').length") == 1, "the curve")
    shots("page-train.png")
    verified(page, "train-result")
    check("done" in page.text("#train-runs"), "a training can be chosen")


def jobs_open_in_their_tabs(page, server, shots):
    for kind, place in (("train", "train-result"), ("eval", "eval-result"), ("restore", "restore-result")):
        page.click("#tab-jobs")
        page.run("[...document.querySelectorAll('#job-rows tr')].find(r => r.children[1].textContent === arguments[0] && r.children[2].textContent === 'done')"
                 ".querySelector('a').click()", kind)
        page.wait(f"document.getElementById('{place}').offsetParent !== null")
        ended(page, place)
    page.send("POST", "/refresh", {})
    page.wait("document.body.dataset.ready === 'true'")
    ended(page, "restore-result")
    picture_shown(page, "#restore-result .picture")


def keyboard_and_phone(page, server, shots):
    page.run("document.getElementById('tab-sample').focus()")
    page.keys("\ue014")  # the right arrow
    check(page.run("return document.activeElement.id") == "tab-sheet", "arrows move between tabs")
    page.size(390, 800)
    for tab in ("sample", "sheet", "restore", "eval", "train", "jobs"):
        page.click(f"#tab-{tab}")
        check(page.run("return document.documentElement.scrollWidth <= window.innerWidth"), f"{tab} fits a phone's width")
    nameless = page.run("""
        return [...document.querySelectorAll('button, select, input, canvas')].filter(e =>
            !e.textContent.trim() && !e.getAttribute('aria-label') && !(e.labels && e.labels.length)).map(e => e.outerHTML)""")
    check(not nameless, f"everything to operate has a name: {nameless}")
    page.click("#tab-sample")
    make(page, "ddim25", 9, num=1)
    ended(page, "sample-result")
    picture_shown(page, "#sample-result .picture")
    page.run("document.querySelector('#sample-result').scrollIntoView()")
    thumbnails(page, "sample-result")
    shots("page-phone.png")
    page.size(1100, 900)


def main():
    if not webdriver.installed():
        print("passed over: no Chromium with chromedriver (Debian: chromium-driver)")
        return
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    only = sys.argv[2:]
    models = tempfile.TemporaryDirectory()
    subprocess.run([os.environ["GUIDED_BINARY"], "init", "--kind", "diffusion", "--synthetic", "--image_size", "32", "--num_channels", "32", "--num_res_blocks",
                    "1", "--channel_mult", "1,2", "--attention_resolutions", "16", "--class_cond", "True", "-q", models.name + "/imagenet.safetensors"], check=True)
    server = Server("--folders", models.name)
    page = webdriver.Browser()

    def shots(name):
        if folder:
            page.picture(os.path.join(folder, name))

    try:
        page.open(server.url)
        for part in (from_click_to_picture, branch_and_replay, meter, names_of_1000_classes, cancel, reload_in_the_middle, two_tabs, sheet, restore, evaluate, train,
                     jobs_open_in_their_tabs, keyboard_and_phone):
            if only and part.__name__ not in only:
                continue
            print(part.__name__, flush=True)
            part(page, server, shots)
        complaints = [c for c in page.complaints() if "favicon" not in c]
        check(not complaints, f"the page complains: {complaints}")
        if not only or "kill_and_restart" in only:
            print("kill_and_restart", flush=True)
            kill_and_restart(page, server, shots)
    except (RuntimeError, TimeoutError) as error:
        failures.append(str(error))
        print(f"FAIL: {error}; the page says: {page.text('#notice')!r}; {page.complaints()}")
        shots("failed.png")
    finally:
        page.close()
        server.stop()
        models.cleanup()


main()
finish()
