"""A headless Chromium, driven by Selenium: what a person would see of a page.

    b = Browser(folder)
    b.open(url)
    b.text("#state"); b.press(Keys.TAB); b.scheme("dark"); b.size(390, 844)

Nothing is looked up or fetched but what the page asks for."""

import base64
import os
import re
import shutil
from pathlib import Path

from .wait import SLOWER, eventually

CHROMIUM, DRIVER = "chromium", "chromedriver"


def missing():
    """What is not installed, of what a Browser needs; empty when all is there."""
    out = [p for p in (CHROMIUM, DRIVER) if not shutil.which(p)]
    try:
        import selenium  # noqa: F401
    except ImportError:
        out.append("python3-selenium")
    return out


class Browser:
    def __init__(self, folder):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        o = webdriver.ChromeOptions()
        o.binary_location = shutil.which(CHROMIUM)
        for word in ("headless=new", "disable-gpu", "no-sandbox", "disable-dev-shm-usage", "no-first-run", "no-proxy-server",
                     "disable-background-networking", "disable-component-update", "disable-sync", "disable-extensions",
                     "hide-scrollbars", "force-device-scale-factor=1", "lang=en", f"user-data-dir={Path(folder) / 'chromium'}"):
            o.add_argument(f"--{word}")
        o.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        env["no_proxy"] = "*"
        os.environ["NO_PROXY"] = "127.0.0.1,localhost"  # Selenium itself speaks to the driver by HTTP
        self.driver = webdriver.Chrome(service=Service(shutil.which(DRIVER), env=env), options=o)
        self.driver.set_page_load_timeout(30 * SLOWER)
        self.size(1280, 900)

    def close(self):
        self.driver.quit()

    def open(self, url):
        self.driver.get(url)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def tell(self, command, **arguments):
        """A command of the devtools protocol."""
        return self.driver.execute_cdp_cmd(command, arguments)

    def text(self, selector):
        """What is written there, seen or not; None when there is no such element."""
        return self.run("const e = document.querySelector(arguments[0]); return e && e.textContent.trim()", selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent.trim())", selector)

    def await_text(self, selector, pattern):
        return eventually(lambda: f"{pattern!r} in {selector}: {self.text(selector)!r}; {self.complaints()}",
                          lambda: re.search(pattern, self.text(selector) or ""))

    def shown(self, selector):
        return self.run("const e = document.querySelector(arguments[0]); return Boolean(e && e.getClientRects().length)", selector)

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def size(self, width, height, phone=False):
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def scheme(self, name):
        self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self, whole=True):
        """PNG."""
        return base64.b64decode(self.tell("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def complaints(self):
        """What the browser has to say, since the last call: faults of scripts, what a policy has stopped, failed requests."""
        return [m["message"] for m in self.driver.get_log("browser") if m["level"] in ("SEVERE", "WARNING")]
