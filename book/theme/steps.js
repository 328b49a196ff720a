// What is better with a script, and can be done without.

// The keyboard reaches, and scrolls, what is wider than its box.
for (const box of document.querySelectorAll("main pre > code, main .table-wrapper")) {
    const isWide = () => box.scrollWidth > box.clientWidth;
    new ResizeObserver(() => (isWide() ? (box.tabIndex = 0) : box.removeAttribute("tabindex"))).observe(box);
    box.addEventListener("keydown", (event) => {
        // Or the page would be turned.
        if (isWide() && /^Arrow(Left|Right)$/.test(event.key)) event.stopPropagation();
    });
}

// mdBook's bar is told to be one; and the switch for its sidebar, a label, becomes a button.
document.getElementById("mdbook-menu-bar")?.setAttribute("role", "banner");
const label = document.getElementById("mdbook-sidebar-toggle");
if (label) {
    const button = document.createElement("button");
    button.className = label.className;
    button.append(...label.childNodes);
    const tell = () => {
        for (const name of ["title", "aria-label", "aria-controls", "aria-expanded"]) {
            button.setAttribute(name, label.getAttribute(name));
        }
    };
    tell();
    new MutationObserver(tell).observe(label, { attributes: true });
    button.addEventListener("click", () => label.click());
    label.style.display = "none";
    label.after(button);
}

// A picture step by step: each `g.step` of it is one, and says `data-say`. Without this it is there as a whole.
for (const figure of document.querySelectorAll("figure")) {
    const steps = [...figure.querySelectorAll("svg.picture g.step")];
    if (steps.length === 0) continue;

    const control = document.createElement("div");
    control.className = "steps";
    control.setAttribute("role", "group");
    control.setAttribute("aria-label", "Step through the picture");
    const say = document.createElement("output");
    // -1 is the whole picture.
    let at = -1;
    const show = (wanted) => {
        at = (wanted + 1 + steps.length + 1) % (steps.length + 1) - 1;
        figure.classList.toggle("stepping", at >= 0);
        steps.forEach((step, number) => step.classList.toggle("now", number === at));
        say.textContent = at < 0 ? `${steps.length} steps` : steps[at].dataset.say;
    };
    const button = (name, text, by) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = text;
        button.setAttribute("aria-label", name);
        button.addEventListener("click", () => show(at + by));
        control.append(button);
    };
    button("Step back", "◀", -1);
    button("Next step", "▶", 1);
    control.append(say);
    control.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (by === undefined || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
        show(at + by);
        // Or the page would be turned.
        event.stopPropagation();
        event.preventDefault();
    });
    show(-1);
    figure.querySelector("svg.picture").after(control);
}
