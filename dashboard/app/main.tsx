import "./style.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";

const place = document.getElementById("page");
if (!place) throw new Error("The page has no place for the dashboard.");
createRoot(place).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
